//! The cells of a column in a row group.

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::schema::types::Type as SchemaType;

use super::super::csv::write_value;
use super::super::time::TimeFormat;
use crate::table::{Column, ColumnSet, MergedColumn, Moment, Origin, Type, Value};

/// The values, of rows that have one.
#[derive(Debug)]
pub(super) enum Data {
    U32(Vec<i32>),
    U64(Vec<i64>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F64(Vec<f64>),
    Bool(Vec<bool>),
    Text(Vec<ByteArray>),
    /// ns since 1970, or of another clock.
    Time(Vec<i64>),
}

/// What a cell takes beside its value.
const LEVEL_BYTES: usize = 2;

/// A column of a row group.
pub(super) struct Cells {
    data: Data,
    /// Of each row so far: 1 if it has a value.
    levels: Vec<i16>,
    text: Vec<u8>,
}

impl Data {
    /// Of the column's type in all event types that have it.
    pub fn of(merged: &MergedColumn, tables: &[ColumnSet]) -> Self {
        let all = tables.iter().filter_map(|table| merged.of(table.event_type));
        let mut types = all.map(|selected| Data::of_column(selected.column));
        let first = types.next().unwrap_or(Data::Text(Vec::new()));
        types.fold(first, Data::common)
    }

    fn of_column(column: &Column) -> Self {
        let narrow = match column.origin {
            Origin::Slot(slot) => slot.width <= 4,
            _ => false,
        };
        match (column.ty, narrow) {
            (Type::Bool, _) => Data::Bool(Vec::new()),
            (Type::Unsigned, true) => Data::U32(Vec::new()),
            (Type::Unsigned, false) => Data::U64(Vec::new()),
            (Type::Signed, true) => Data::I32(Vec::new()),
            (Type::Signed, false) => Data::I64(Vec::new()),
            (Type::Float, _) => Data::F64(Vec::new()),
            (Type::Time, _) => Data::Time(Vec::new()),
            (Type::Text | Type::TextList | Type::Address, _) => Data::Text(Vec::new()),
        }
    }

    /// A type for the values of both.
    fn common(self, other: Data) -> Data {
        use Data::{Bool, F64, I32, I64, Text, Time, U32, U64};
        match (self, other) {
            (U32(values), U32(_)) => U32(values),
            (U32(_) | U64(_), U32(_) | U64(_)) => U64(Vec::new()),
            (I32(values), I32(_)) => I32(values),
            (I32(_) | I64(_), I32(_) | I64(_)) => I64(Vec::new()),
            (F64(values), F64(_)) => F64(values),
            (Bool(values), Bool(_)) => Bool(values),
            (Time(values), Time(_)) => Time(values),
            _ => Text(Vec::new()),
        }
    }

    fn clear(&mut self) {
        match self {
            Data::U32(values) | Data::I32(values) => values.clear(),
            Data::U64(values) | Data::I64(values) | Data::Time(values) => values.clear(),
            Data::F64(values) => values.clear(),
            Data::Bool(values) => values.clear(),
            Data::Text(values) => values.clear(),
        }
    }
}

impl Cells {
    pub fn new(data: Data) -> Self {
        Cells { data, levels: Vec::new(), text: Vec::new() }
    }

    pub fn data(&self) -> &Data {
        &self.data
    }

    pub fn levels(&self) -> &[i16] {
        &self.levels
    }

    /// Up to that row, there are no more values.
    pub fn pad(&mut self, rows: usize) {
        self.levels.resize(rows, 0);
    }

    pub fn clear(&mut self) {
        self.levels.clear();
        self.data.clear();
    }

    /// Sets the value of a row; returns how many bytes it takes.
    pub fn push(&mut self, row: usize, value: Value<'_>) -> usize {
        self.pad(row);
        self.levels.push(1);
        match (&mut self.data, value) {
            (Data::U32(values), Value::U64(n)) => values.push((n as u32).cast_signed()),
            (Data::U64(values), Value::U64(n)) => values.push(n.cast_signed()),
            (Data::I32(values), Value::I64(n)) => values.push(n as i32),
            (Data::I64(values), Value::I64(n)) => values.push(n),
            (Data::F64(values), Value::F64(n)) => values.push(n),
            (Data::Bool(values), Value::Bool(flag)) => values.push(flag),
            (Data::Time(values), Value::Time(Moment::Wall(ns) | Moment::Elapsed(ns))) => {
                values.push(ns);
            }
            (Data::Text(values), value) => {
                self.text.clear();
                write_value(value, &mut TimeFormat::default(), &mut self.text);
                values.push(ByteArray::from(self.text.clone()));
                return LEVEL_BYTES + size_of::<ByteArray>() + 64 + self.text.len();
            }
            // Values are of their column's type.
            _ => {
                self.levels.pop();
                return 0;
            }
        }
        LEVEL_BYTES + 8
    }

    /// Its place in the schema. `elapsed`: times are on a clock without a calendar.
    pub fn schema(
        &self,
        name: &str,
        required: bool,
        elapsed: bool,
    ) -> Result<SchemaType, ParquetError> {
        let integer = |bits, signed| Some(LogicalType::integer(bits, signed));
        let time = LogicalType::timestamp(true, TimeUnit::NANOS);
        let (physical, logical) = match self.data {
            Data::U32(_) => (PhysicalType::INT32, integer(32, false)),
            Data::U64(_) => (PhysicalType::INT64, integer(64, false)),
            Data::I32(_) => (PhysicalType::INT32, integer(32, true)),
            Data::I64(_) => (PhysicalType::INT64, integer(64, true)),
            Data::F64(_) => (PhysicalType::DOUBLE, None),
            Data::Bool(_) => (PhysicalType::BOOLEAN, None),
            Data::Text(_) => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
            Data::Time(_) => (PhysicalType::INT64, Some(time).filter(|_| !elapsed)),
        };
        let repetition = if required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
        SchemaType::primitive_type_builder(name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical)
            .build()
    }
}
