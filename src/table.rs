//! Values and columns: the interface between event types, which define them, and sinks, which print them.

pub mod origin;
pub mod summary;

use std::net::IpAddr;

pub use self::origin::Origin;
use crate::symbols::Symbols;

/// The value of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// The kernel has no such value, or has not set it yet.
    Null,
    Bool(bool),
    U64(u64),
    I64(i64),
    F64(f64),
    Str(&'a str),
    /// A name given by a user or the kernel: any bytes.
    Name(&'a [u8]),
    Ip(IpAddr),
    /// A time on the clock of `--time`.
    Time(Moment),
    /// A kernel code address.
    Code(u64, &'a Symbols),
    /// A stack of code addresses, innermost first.
    Stack(Frames<'a>, &'a Symbols),
}

/// The code addresses of a stack, as they lie in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames<'a>(pub &'a [u8]);

impl<'a> Frames<'a> {
    /// The addresses, innermost first.
    pub fn iter(self) -> impl Iterator<Item = u64> + 'a {
        self.0.as_chunks().0.iter().map(|&address| u64::from_ne_bytes(address))
    }
}

/// A time as the sinks print it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment {
    /// Nanoseconds since 1970, UTC.
    Wall(i64),
    /// Nanoseconds of a clock without a calendar: `CLOCK_MONOTONIC`, or since the start of the trace.
    Elapsed(i64),
}

impl Value<'_> {
    /// A number; null if it equals `unset`.
    #[must_use]
    pub fn unless(value: u64, unset: u64) -> Value<'static> {
        if value == unset { Value::Null } else { Value::U64(value) }
    }
}

/// Type of a column's values.
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

impl Type {
    /// As in the reference.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Type::Bool => "bool",
            Type::Unsigned => "unsigned",
            Type::Signed => "signed",
            Type::Float => "float",
            Type::Text => "text",
            Type::TextList => "list of text",
            Type::Address => "address",
            Type::Time => "time",
        }
    }
}

/// Unit of a column's numbers.
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
    /// A hundredth of the whole.
    Percent,
}

impl Unit {
    /// As in the schema and the reference; empty for none.
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
            Unit::Percent => "%",
        }
    }
}

/// Set of columns that a column belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Printed by default; every reader provides it.
    Standard,
    /// Printed with `--all-fields` or by name; needs a reader of `struct tcp_sock`.
    Full,
    /// Printed by name or by an option of its own: it costs time at each packet.
    Named,
}

/// A kernel struct member that a column needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub type_name: &'static str,
    pub member: &'static str,
}

/// One column: the source of text titles, JSON keys, CSV headers, the schema and the reference.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The same in C, JSON and CSV. `group.name` for the state of one congestion-control algorithm.
    pub name: &'static str,
    pub ty: Type,
    pub unit: Unit,
    pub set: Set,
    /// Meaning, and when it is null.
    pub doc: &'static str,
    /// Source in the kernel.
    pub source: &'static str,
    /// The column is null on kernels without this member.
    pub need: Option<Member>,
    /// How its value is read.
    pub origin: Origin,
}

impl Column {
    /// The part of the name before the dot.
    #[must_use]
    pub fn group(&self) -> Option<&'static str> {
        self.name.split_once('.').map(|(group, _)| group)
    }

    /// The part of the name after the dot, or all of it.
    #[must_use]
    pub fn leaf(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, leaf)| leaf)
    }
}

/// The selected columns of an event type.
#[derive(Clone, Debug)]
pub struct ColumnSet {
    /// Number of the event type.
    pub event_type: usize,
    pub name: &'static str,
    pub columns: Vec<Selected>,
}

/// A column selected for output.
#[derive(Clone, Copy, Debug)]
pub struct Selected {
    /// Number in the event type's list.
    pub index: usize,
    pub column: &'static Column,
    /// False if this kernel does not have it: then always null.
    pub present: bool,
}

/// The columns of one name in several event types.
#[derive(Clone, Debug)]
pub struct MergedColumn {
    /// By number of the event type.
    of: Vec<Option<Selected>>,
    column: &'static Column,
}

impl MergedColumn {
    /// `None` if no event type has it.
    #[must_use]
    pub fn new<'t>(tables: impl IntoIterator<Item = &'t ColumnSet>, name: &str) -> Option<Self> {
        let (mut of, mut column) = (Vec::new(), None);
        for table in tables {
            let Some(selected) = table.columns.iter().find(|s| s.column.name == name) else {
                continue;
            };
            of.resize(of.len().max(table.event_type + 1), None);
            of[table.event_type] = Some(*selected);
            column.get_or_insert(selected.column);
        }
        Some(MergedColumn { of, column: column? })
    }

    /// Every name of those tables, in order of appearance.
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

    /// The column of the first event type that has it.
    #[must_use]
    pub fn column(&self) -> &'static Column {
        self.column
    }

    /// The column of that event type; `None` if that has no such column.
    #[must_use]
    pub fn of(&self, event_type: usize) -> Option<&Selected> {
        self.of.get(event_type)?.as_ref()
    }
}
