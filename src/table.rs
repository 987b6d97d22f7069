//! Values and columns: the only language between probes, which make records, and sinks, which print them.

pub mod summary;

use std::net::IpAddr;

use crate::symbols::Symbols;

/// One cell of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// The kernel has no such value, or has not set it yet.
    Null,
    Bool(bool),
    U64(u64),
    I64(i64),
    F64(f64),
    Str(&'a str),
    /// A name that somebody outside has given: of any bytes.
    Name(&'a [u8]),
    Ip(IpAddr),
    /// A moment, in the clock that `--time` chose.
    Time(Moment),
    /// An address of the kernel's code.
    Code(u64, &'a Symbols),
    /// Several, one called from the next.
    Stack(&'a [u64], &'a Symbols),
}

/// A moment as the sinks print it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment {
    /// Nanoseconds since 1970, UTC.
    Wall(i64),
    /// Nanoseconds of a clock without a calendar: `CLOCK_MONOTONIC`, or since the start of the trace.
    Elapsed(i64),
}

impl Value<'_> {
    /// A number that is not set while it equals `unset`.
    #[must_use]
    pub fn unless(value: u64, unset: u64) -> Value<'static> {
        if value == unset { Value::Null } else { Value::U64(value) }
    }
}

/// What a column's values are, for schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Bool,
    /// Never negative.
    Unsigned,
    Signed,
    Float,
    Text,
    TextList,
    Address,
    Time,
}

/// What a column's numbers count. The name carries it too (`srtt_us`); this is for readers of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    None,
    Nanoseconds,
    Microseconds,
    Bytes,
    BytesPerSecond,
    /// Packets of up to one MSS.
    Segments,
    /// A raw 32-bit sequence number, which wraps.
    Sequence,
    /// An event count.
    Count,
    /// Kernel timer ticks.
    Jiffies,
}

impl Unit {
    /// As the schema and the reference page say it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Nanoseconds => "ns",
            Unit::Microseconds => "us",
            Unit::Bytes => "bytes",
            Unit::BytesPerSecond => "bytes/s",
            Unit::Segments => "segments",
            Unit::Sequence => "sequence number",
            Unit::Count => "count",
            Unit::Jiffies => "jiffies",
        }
    }
}

/// When a column is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Always; any reader gives it.
    Standard,
    /// With `--all-fields` or by name; needs a reader of `struct tcp_sock`.
    Full,
}

/// A member of a kernel struct that a column cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub type_name: &'static str,
    pub member: &'static str,
}

/// One column: what text titles, JSON keys, CSV headers, the schema and the reference page are made from.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The same in C, JSON and CSV. `group.name` for the state of one congestion-control algorithm.
    pub name: &'static str,
    pub ty: Type,
    pub unit: Unit,
    pub set: Set,
    /// One sentence.
    pub doc: &'static str,
    /// Where the kernel has it.
    pub source: &'static str,
    /// Not on every kernel; the column is null where this is missing.
    pub need: Option<Member>,
}

impl Column {
    /// The part before the dot.
    #[must_use]
    pub fn group(&self) -> Option<&'static str> {
        self.name.split_once('.').map(|(group, _)| group)
    }

    /// The part after the dot, or all of it.
    #[must_use]
    pub fn leaf(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, leaf)| leaf)
    }
}

/// One event type's chosen columns.
#[derive(Clone, Debug)]
pub struct ColumnSet {
    /// The event type's number and name.
    pub event_type: usize,
    pub name: &'static str,
    pub columns: Vec<Selected>,
}

/// A record, cell by cell. Columns are numbered as in the event type's list.
pub trait Row {
    /// The number of its event type.
    fn event_type(&self) -> usize;

    /// The cell of that column.
    fn value(&self, column: usize) -> Value<'_>;

    /// Does any column of the group have a value? Spares asking each.
    fn has_group(&self, group: &str) -> bool;
}

/// A column that was chosen for output: its number in the event type's list, and whether this kernel has it.
#[derive(Clone, Copy, Debug)]
pub struct Selected {
    pub index: usize,
    pub column: &'static Column,
    /// False: always null on this kernel.
    pub present: bool,
}

impl Selected {
    /// The cell of this column.
    #[must_use]
    pub fn value<'a>(&self, row: &'a dyn Row) -> Value<'a> {
        if self.present { row.value(self.index) } else { Value::Null }
    }
}

/// One name's column in the tables of several event types.
#[derive(Clone, Debug)]
pub struct MergedColumn(Vec<(usize, Selected)>);

impl MergedColumn {
    /// None where no event type has it.
    #[must_use]
    pub fn new<'t>(tables: impl IntoIterator<Item = &'t ColumnSet>, name: &str) -> Option<Self> {
        let of: Vec<_> = tables
            .into_iter()
            .filter_map(|table| {
                let selected = table.columns.iter().find(|s| s.column.name == name)?;
                Some((table.event_type, *selected))
            })
            .collect();
        (!of.is_empty()).then_some(MergedColumn(of))
    }

    /// Of one event type only.
    #[must_use]
    pub fn one(event_type: usize, selected: Selected) -> Self {
        MergedColumn(vec![(event_type, selected)])
    }

    /// Every name of those tables, in the order in which they come.
    #[must_use]
    pub fn all(tables: &[ColumnSet]) -> Vec<Self> {
        let mut names: Vec<&str> = Vec::new();
        for selected in tables.iter().flat_map(|table| &table.columns) {
            if !names.contains(&selected.column.name) {
                names.push(selected.column.name);
            }
        }
        names.iter().filter_map(|name| MergedColumn::new(tables, name)).collect()
    }

    /// The column as the first event type that has it describes it.
    #[must_use]
    pub fn column(&self) -> &'static Column {
        self.0[0].1.column
    }

    /// The row's cell; null where its event type has no such column.
    #[must_use]
    pub fn value<'a>(&self, row: &'a dyn Row) -> Value<'a> {
        let event_type = row.event_type();
        match self.0.iter().find(|(of, _)| *of == event_type) {
            Some((_, selected)) => selected.value(row),
            None => Value::Null,
        }
    }
}
