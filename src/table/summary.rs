//! Summaries: rows of aggregates and, for distributions, their buckets, independent of the command that prints them.

use super::{Column, Moment, Origin, Set, Type, Unit, Value};

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

    /// True if its rows are distributions.
    #[must_use]
    pub fn has_buckets(&self) -> bool {
        matches!(self.form, Form::Histogram(_))
    }

    /// The column of that name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&'static Column> {
        self.key.iter().chain(&self.columns).find(|column| column.name == name).copied()
    }
}
