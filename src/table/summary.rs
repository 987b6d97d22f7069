//! Summaries: rows of aggregates and, for distributions, their buckets, independent of the command that prints them.

use std::ops::Range;

use anstyle::AnsiColor;

use super::{Column, Moment, Origin, Set, Type, Unit, Value};

/// What a command aggregates: all that other modules have to know about it.
#[derive(Debug)]
pub struct AggregateType {
    /// The command, and the value of `"command"`.
    pub command: &'static str,
    /// For the schema and the reference.
    pub doc: &'static str,
    /// All columns that a key can have.
    pub key: &'static [Column],
    pub columns: &'static [Column],
    pub source: AggregateSource,
}

/// Where its totals are read.
#[derive(Debug)]
pub enum AggregateSource {
    /// The map `histograms`: one for each key and value.
    Histograms,
    /// The map `sums`: a row for each key.
    Sums(SumsLayout),
    /// The iterator over connections, and `destroy`.
    Connections,
    /// The iterator over listening sockets, and `listen_drop`.
    Listeners,
    /// The iterator over the accounts of `limits`, and `destroy`.
    Limits,
    /// The maps of `observe`, and the iterator over its connections.
    Observe,
}

/// What the sums of a row are, and how they are printed.
#[derive(Debug)]
pub struct SumsLayout {
    /// The value of each column.
    pub values: &'static [SumValue],
    /// Text columns after those of the key.
    pub view: &'static [ViewColumn],
    /// The sum that counts events.
    pub events: usize,
    /// Rows are sorted by these sums together.
    pub weight: Range<usize>,
    /// The first sums are times in recovery states; those of current states are added to them.
    pub state_times: bool,
    /// The line above the rows, from the number of events and the weight of all rows.
    pub title: fn(u64, u64) -> String,
}

/// The value of a column of sums.
#[derive(Clone, Debug)]
pub enum SumValue {
    /// The connection's cookie.
    Cookie,
    Sum(usize),
    /// A sum of ns, in µs.
    Microseconds(usize),
    /// Several sums together.
    All(Range<usize>),
}

impl AggregateType {
    /// Columns of buckets.
    #[must_use]
    pub fn bucket(&self) -> &'static [Column; 3] {
        if matches!(self.source, AggregateSource::Observe) { &METRIC_BUCKET } else { &BUCKET }
    }

    /// True if its rows are distributions, or may be.
    #[must_use]
    pub fn has_buckets(&self) -> bool {
        matches!(self.source, AggregateSource::Histograms | AggregateSource::Observe)
    }

    /// True if the programs count its events, and send no records.
    #[must_use]
    pub fn counts_events(&self) -> bool {
        !self.reads_connections() && !self.reads_listeners() && !self.reads_limits()
    }

    /// True if it takes snapshots of what limits connections.
    #[must_use]
    pub fn reads_limits(&self) -> bool {
        matches!(self.source, AggregateSource::Limits)
    }

    /// True if it takes snapshots of connections.
    #[must_use]
    pub fn reads_connections(&self) -> bool {
        matches!(self.source, AggregateSource::Connections)
    }

    /// True if it takes snapshots of listening sockets.
    #[must_use]
    pub fn reads_listeners(&self) -> bool {
        matches!(self.source, AggregateSource::Listeners)
    }

    /// True if it needs the times of connections in recovery states.
    #[must_use]
    pub fn reads_state_times(&self) -> bool {
        matches!(self.source, AggregateSource::Sums(SumsLayout { state_times: true, .. }))
    }

    /// How it counts, for the line that announces a trace.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self.source {
            AggregateSource::Histograms | AggregateSource::Sums(_) | AggregateSource::Observe => {
                "counted in the kernel"
            }
            AggregateSource::Connections => "all connections read each interval",
            AggregateSource::Limits => "classified in the kernel, read each interval",
            AggregateSource::Listeners => "all listening sockets read each interval",
        }
    }
}

/// Columns and text form of a command's summaries.
#[derive(Clone, Debug)]
pub struct SummarySchema {
    /// Value of `"command"`.
    pub command: &'static str,
    /// Columns of the key of a row.
    pub key: Vec<&'static Column>,
    /// Columns of its aggregates.
    pub columns: Vec<&'static Column>,
    pub form: Form,
}

/// Text form.
#[derive(Clone, Debug)]
pub enum Form {
    /// Aligned lines, one per row.
    Lines(Vec<ViewColumn>),
    /// A histogram per row, with a bar for each power of two.
    Histogram(Scale),
    /// A bar per row, divided into the shares of its parts.
    Shares(Shares),
    /// A block per key, with a line for each metric.
    Page,
}

/// How rows are printed whose columns are parts of a whole.
#[derive(Clone, Debug)]
pub struct Shares {
    /// What a row is of, and facts about it. Without a title, the value stands alone.
    pub heading: Vec<ViewColumn>,
    pub parts: &'static [Share],
    /// A column of sentences, each printed on its own line.
    pub notes: &'static str,
}

/// A part of a whole.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    pub column: &'static str,
    pub name: &'static str,
    /// Fills its part of the bar.
    pub letter: char,
    pub color: AnsiColor,
}

/// A column of aligned lines.
#[derive(Clone, Copy, Debug)]
pub struct ViewColumn {
    pub title: &'static str,
    /// Name of the column, or `address:port`.
    pub column: &'static str,
    pub width: usize,
    /// Divisor of numbers, which are rounded.
    pub per: u64,
}

/// Shorthand for the tables.
#[must_use]
pub const fn view(title: &'static str, column: &'static str, width: usize, per: u64) -> ViewColumn {
    ViewColumn { title, column, width, per }
}

/// Unit of the bars' labels and of the values below them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    #[default]
    Microseconds,
    Milliseconds,
}

/// Values from `from` to `to`, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub from: u64,
    pub to: u64,
    pub count: u64,
}

/// Columns of a bucket.
pub static BUCKET: [Column; 3] = [
    bucket("bucket_from_us", Unit::Microseconds, "Smallest value of the bucket."),
    bucket("bucket_to_us", Unit::Microseconds, "Largest value of the bucket."),
    bucket("bucket_count", Unit::Count, "Events with a value in the bucket."),
];

const fn bucket(name: &'static str, unit: Unit, doc: &'static str) -> Column {
    Column {
        name,
        ty: Type::Unsigned,
        unit,
        set: Set::Standard,
        doc,
        source: "counted",
        need: None,
        origin: Origin::Aggregate,
    }
}

/// Columns of a bucket of a metric, whose unit is the metric's.
pub static METRIC_BUCKET: [Column; 3] = [
    bucket("bucket_from", Unit::None, "Smallest value of the bucket."),
    bucket("bucket_to", Unit::None, "Largest value of the bucket."),
    bucket("bucket_count", Unit::Count, "Events with a value in the bucket."),
];

/// One row.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// In the order of the key columns; `None` for the row of all keys that found no room.
    pub key: Option<Vec<Value<'a>>>,
    pub values: Vec<Value<'a>>,
    /// Non-empty buckets, ascending.
    pub buckets: Vec<Bucket>,
}

/// Aggregates of an interval.
#[derive(Clone, Debug)]
pub struct Summary<'a> {
    pub shape: &'a SummarySchema,
    /// End of the interval.
    pub time: Moment,
    pub interval_ns: u64,
    /// Text form: the line above the rows.
    pub title: String,
    pub lines: Vec<Line<'a>>,
}

impl SummarySchema {
    /// The value of that column.
    #[must_use]
    pub fn find<'a>(&self, line: &Line<'a>, name: &str) -> Option<Value<'a>> {
        let at = |columns: &[&Column]| columns.iter().position(|column| column.name == name);
        match at(&self.key) {
            Some(index) => line.key.as_ref()?.get(index).copied(),
            None => line.values.get(at(&self.columns)?).copied(),
        }
    }

    /// Columns of buckets.
    #[must_use]
    pub fn bucket(&self) -> &'static [Column; 3] {
        if matches!(self.form, Form::Page) { &METRIC_BUCKET } else { &BUCKET }
    }

    /// True if its rows are distributions, or may be.
    #[must_use]
    pub fn has_buckets(&self) -> bool {
        matches!(self.form, Form::Histogram(_) | Form::Page)
    }

    /// The column of that name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&'static Column> {
        self.key.iter().chain(&self.columns).find(|column| column.name == name).copied()
    }
}
