//! Summaries: what was counted over a time, as rows and, where it is a distribution, buckets. The sinks print them as they
//! print records, and know no command.

use super::{Column, Moment, Set, Type, Unit, Value};

/// What a command's summaries look like.
#[derive(Clone, Debug)]
pub struct SummarySchema {
    /// As in `"command"`.
    pub command: &'static str,
    /// What a row is of.
    pub key: Vec<&'static Column>,
    /// What is said of it.
    pub columns: Vec<&'static Column>,
    pub form: Form,
}

/// For people.
#[derive(Clone, Debug)]
pub enum Form {
    /// Aligned lines, one a row.
    Lines(Vec<ViewColumn>),
    /// A bar for each power of two, a picture a row.
    Histogram(Scale),
}

/// A column of aligned lines.
#[derive(Clone, Copy, Debug)]
pub struct ViewColumn {
    pub title: &'static str,
    /// Its name, or `address:port`.
    pub column: &'static str,
    pub width: usize,
    /// Numbers are divided by this, and rounded.
    pub per: u64,
}

/// Shorthand for the tables.
#[must_use]
pub const fn view(title: &'static str, column: &'static str, width: usize, per: u64) -> ViewColumn {
    ViewColumn { title, column, width, per }
}

/// The unit of bars' labels and of the values below them; the rows are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    #[default]
    Microseconds,
    Milliseconds,
}

/// Values from `from` to `to`, both counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub from: u64,
    pub to: u64,
    pub count: u64,
}

/// The columns of a bucket.
pub static BUCKET: [Column; 3] = [
    bucket("bucket_from_us", Unit::Microseconds, "The bucket's smallest value."),
    bucket("bucket_to_us", Unit::Microseconds, "The bucket's largest value."),
    bucket("bucket_count", Unit::Count, "Events with a value in it."),
];

const fn bucket(name: &'static str, unit: Unit, doc: &'static str) -> Column {
    let ty = Type::Unsigned;
    Column { name, ty, unit, set: Set::Standard, doc, source: "counted", need: None }
}

/// One row.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// In the order of the shape's key; `None`: all that had no row of its own.
    pub key: Option<Vec<Value<'a>>>,
    pub values: Vec<Value<'a>>,
    /// Those that are not empty, ascending.
    pub buckets: Vec<Bucket>,
}

/// What was counted from one reading to the next.
#[derive(Clone, Debug)]
pub struct Summary<'a> {
    pub shape: &'a SummarySchema,
    /// The end of it.
    pub time: Moment,
    pub interval_ns: u64,
    /// For people: a line above the rows.
    pub title: String,
    pub lines: Vec<Line<'a>>,
}

impl SummarySchema {
    /// The cell of that name.
    #[must_use]
    pub fn find<'a>(&self, line: &Line<'a>, name: &str) -> Option<Value<'a>> {
        let at = |columns: &[&Column]| columns.iter().position(|column| column.name == name);
        match at(&self.key) {
            Some(index) => line.key.as_ref()?.get(index).copied(),
            None => line.values.get(at(&self.columns)?).copied(),
        }
    }

    /// Are its rows distributions?
    #[must_use]
    pub fn has_buckets(&self) -> bool {
        matches!(self.form, Form::Histogram(_))
    }

    /// That column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&'static Column> {
        self.key.iter().chain(&self.columns).find(|column| column.name == name).copied()
    }
}
