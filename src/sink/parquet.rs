//! Parquet: one table with the columns of all event types, as CSV has it, in which a column of another event type is null.
//!
//! The file has its index at the end: it is complete once the trace has ended, and cannot be read before.

mod cells;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use self::cells::{Cells, Data};
use super::{Columns, Format, Progress, Sink, Stage};
use crate::accounting::Accounting;
use crate::decode::Event;
use crate::table::summary::Summary;
use crate::table::{MergedColumn, Moment, Value};

/// The format.
pub static FORMAT: Format = Format {
    events_only: true,
    ..Format::lines(
        "parquet",
        "A Parquet table, for DuckDB, ClickHouse, pandas and Spark.",
        |out, columns| Box::new(Parquet::new(out, columns)),
    )
};

/// A row group is written when its cells take so many bytes, or when it has as many rows as DuckDB reads at a time.
const GROUP_BYTES: usize = 12 << 20;
const GROUP_ROWS: usize = 122_880;

/// What the library writes, until it is passed on.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The sink. Its progress is in rows.
struct Parquet<W: Write> {
    to: W,
    buffer: Buffer,
    /// Made when the first row group is written.
    writer: Option<SerializedFileWriter<Buffer>>,
    event_type: Cells,
    columns: Vec<(MergedColumn, Cells)>,
    /// In the row group.
    rows: usize,
    bytes: usize,
    /// Rows are on a clock without a calendar.
    elapsed: bool,
    made: u64,
    written: u64,
}

impl<W: Write> Parquet<W> {
    fn new(to: W, columns: &Columns) -> Self {
        let merged = MergedColumn::all(&columns.tables).into_iter();
        let tables = &columns.tables;
        Parquet {
            to,
            buffer: Buffer::default(),
            writer: None,
            event_type: Cells::new(Data::Text(Vec::new())),
            columns: merged
                .map(|column| {
                    let cells = Cells::new(Data::of(&column, tables));
                    (column, cells)
                })
                .collect(),
            rows: 0,
            bytes: 0,
            elapsed: false,
            made: 0,
            written: 0,
        }
    }

    fn create(&self) -> Result<SerializedFileWriter<Buffer>, ParquetError> {
        let mut fields = vec![Arc::new(self.event_type.schema("type", true, false)?)];
        let mut metadata = vec![KeyValue::new("doc:type".to_owned(), "Event type.".to_owned())];
        for (column, cells) in &self.columns {
            let column = column.column();
            fields.push(Arc::new(cells.schema(column.name, false, self.elapsed)?));
            for (key, text) in
                [("unit", column.unit.name()), ("source", column.source), ("doc", column.doc)]
            {
                let key = format!("{key}:{}", column.name);
                metadata.extend((!text.is_empty()).then(|| KeyValue::new(key, text.to_owned())));
            }
        }
        let schema = Type::group_type_builder("events").with_fields(fields).build()?;
        let properties = WriterProperties::builder()
            .set_created_by(concat!("tcc-trace version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_key_value_metadata(Some(metadata))
            .build();
        SerializedFileWriter::new(self.buffer.clone(), Arc::new(schema), Arc::new(properties))
    }

    /// Writes the rows so far as a row group.
    fn write_group(&mut self) -> io::Result<()> {
        if self.writer.is_none() {
            self.writer = Some(self.create().map_err(failed)?);
        }
        if self.rows > 0
            && let Some(writer) = &mut self.writer
        {
            let mut group = writer.next_row_group().map_err(failed)?;
            let columns = self.columns.iter_mut().map(|(_, cells)| cells);
            for (at, cells) in std::iter::once(&mut self.event_type).chain(columns).enumerate() {
                cells.pad(self.rows);
                let mut column =
                    group.next_column().map_err(failed)?.ok_or_else(|| failed("no column"))?;
                write_column(&mut column, cells, at == 0).map_err(failed)?;
                column.close().map_err(failed)?;
                cells.clear();
            }
            group.close().map_err(failed)?;
        }
        (self.rows, self.bytes) = (0, 0);
        self.pass_on()?;
        self.written = self.made;
        Ok(())
    }

    fn pass_on(&mut self) -> io::Result<()> {
        let mut buffer = self.buffer.lock();
        self.to.write_all(&buffer)?;
        buffer.clear();
        self.to.flush()
    }
}

fn write_column(
    column: &mut SerializedColumnWriter<'_>,
    cells: &Cells,
    required: bool,
) -> Result<usize, ParquetError> {
    let levels = (!required).then_some(cells.levels());
    match cells.data() {
        Data::U32(values) | Data::I32(values) => {
            column.typed::<Int32Type>().write_batch(values, levels, None)
        }
        Data::U64(values) | Data::I64(values) | Data::Time(values) => {
            column.typed::<Int64Type>().write_batch(values, levels, None)
        }
        Data::F64(values) => column.typed::<DoubleType>().write_batch(values, levels, None),
        Data::Bool(values) => column.typed::<BoolType>().write_batch(values, levels, None),
        Data::Text(values) => column.typed::<ByteArrayType>().write_batch(values, levels, None),
    }
}

fn failed(error: impl ToString) -> io::Error {
    io::Error::other(error.to_string())
}

impl<W: Write> Sink for Parquet<W> {
    fn begin(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        let row = self.rows;
        self.elapsed |= matches!(event.time(), Moment::Elapsed(_));
        self.bytes += self.event_type.push(row, Value::Str(event.event_type().name));
        for (column, cells) in &mut self.columns {
            match event.merged(column) {
                Value::Null => {}
                value => self.bytes += cells.push(row, value),
            }
        }
        self.rows += 1;
        self.made += 1;
        let full = self.bytes >= GROUP_BYTES || self.rows >= GROUP_ROWS;
        if full { self.write_group() } else { Ok(()) }
    }

    fn summary(&mut self, _: &Summary<'_>) -> io::Result<()> {
        Ok(())
    }

    fn account(&mut self, _: Stage, _: Moment, _: &Accounting) -> io::Result<()> {
        Ok(())
    }

    /// A row group is not divided.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.write_group()?;
        if let Some(mut writer) = self.writer.take() {
            writer.finish().map_err(failed)?;
        }
        self.pass_on()
    }

    fn progress(&self) -> Progress {
        Progress { made: self.made, written: self.written }
    }
}

#[cfg(test)]
mod tests;
