//! CSV as RFC 4180 has it: a header line, then one line an event, all of one width. A null is an empty cell, and so is a
//! column that another kind has. A summary has a line a row, or where there are buckets one a bucket. The books have
//! another shape and are said on stderr.

use std::io::{self, Write};

use super::jsonl::write_ip;
use super::time::TimeFormat;
use super::{Sink, Stage};
use crate::accounting::Accounting;
use crate::table::summary::{BUCKET, Shape, Summary};
use crate::table::{Across, Moment, Row, Table, Value};

/// The sink.
pub struct Csv<W: Write> {
    out: csv::Writer<W>,
    names: Vec<(usize, &'static str)>,
    columns: Vec<Across>,
    header: bool,
    time: TimeFormat,
    cell: Vec<u8>,
}

impl<W: Write> Csv<W> {
    /// Of several tables all columns, in the order in which they come.
    pub fn new(out: W, tables: &[Table], header: bool) -> Self {
        let out = csv::WriterBuilder::new().buffer_capacity(64 * 1024).from_writer(out);
        let columns = match tables {
            // A name that was asked for twice is printed twice.
            [table] => table.columns.iter().map(|s| Across::one(table.kind, *s)).collect(),
            several => Across::all(several),
        };
        Csv {
            out,
            names: tables.iter().map(|table| (table.kind, table.name)).collect(),
            columns,
            header,
            time: TimeFormat::default(),
            cell: Vec::new(),
        }
    }
}

impl<W: Write> Sink for Csv<W> {
    fn begin(&mut self) -> io::Result<()> {
        if self.header && !self.columns.is_empty() {
            self.out.write_field("type")?;
            for column in &self.columns {
                self.out.write_field(column.column().name)?;
            }
            self.out.write_record(None::<&[u8]>)?;
        }
        Ok(())
    }

    fn event(&mut self, row: &dyn Row) -> io::Result<()> {
        let name = self.names.iter().find(|(kind, _)| *kind == row.kind());
        self.out.write_field(name.map_or("", |(_, name)| name))?;
        for column in &self.columns {
            self.cell.clear();
            write_value(column.value(row), &mut self.time, &mut self.cell);
            self.out.write_field(&self.cell)?;
        }
        self.out.write_record(None::<&[u8]>)?;
        Ok(())
    }

    fn summary(&mut self, summary: &Summary<'_>) -> io::Result<()> {
        // Once: all summaries of a run have one shape.
        if std::mem::take(&mut self.header) {
            self.summary_header(summary.shape)?;
        }
        let shape = summary.shape;
        for line in &summary.lines {
            let buckets = line
                .buckets
                .iter()
                .map(|bucket| [bucket.from, bucket.to, bucket.count].map(Value::U64).to_vec());
            let rows: Vec<Vec<Value<'_>>> =
                if shape.has_buckets() { buckets.collect() } else { vec![Vec::new()] };
            for bucket in rows {
                self.out.write_field("summary")?;
                self.out.write_field(shape.command)?;
                self.write_cell(Value::Time(summary.time))?;
                self.write_cell(Value::U64(summary.interval_ns))?;
                match &line.key {
                    Some(key) => key.iter().try_for_each(|&value| self.write_cell(value))?,
                    None => shape.key.iter().try_for_each(|_| self.write_cell(Value::Null))?,
                }
                line.values.iter().chain(&bucket).try_for_each(|&value| self.write_cell(value))?;
                self.out.write_record(None::<&[u8]>)?;
            }
        }
        Ok(())
    }

    fn account(&mut self, _: Stage, _: Moment, _: &Accounting) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Csv<W> {
    fn summary_header(&mut self, shape: &Shape) -> io::Result<()> {
        let buckets = BUCKET.iter().filter(|_| shape.has_buckets());
        let names = shape.key.iter().chain(&shape.columns).copied().chain(buckets);
        for name in ["type", "command", "time", "interval_ns"] {
            self.out.write_field(name)?;
        }
        for column in names {
            self.out.write_field(column.name)?;
        }
        Ok(self.out.write_record(None::<&[u8]>)?)
    }

    fn write_cell(&mut self, value: Value<'_>) -> io::Result<()> {
        self.cell.clear();
        write_value(value, &mut self.time, &mut self.cell);
        Ok(self.out.write_field(&self.cell)?)
    }
}

/// Bare, as CSV and text cells have it.
pub(super) fn write_value(value: Value<'_>, time: &mut TimeFormat, out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::Bool(flag) => out.extend_from_slice(if flag { b"true" } else { b"false" }),
        Value::U64(n) => out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
        Value::I64(n) => out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
        Value::F64(n) => out.extend_from_slice(ryu::Buffer::new().format(n).as_bytes()),
        Value::Str(text) => out.extend_from_slice(text.as_bytes()),
        Value::Ip(ip) => write_ip(ip, out),
        Value::Time(moment) => time.full(moment, out),
        Value::Code(address, symbols) => symbols.write(address, out),
        Value::Stack(addresses, symbols) => {
            for (i, &address) in addresses.iter().enumerate() {
                if i > 0 {
                    out.push(b';');
                }
                symbols.write(address, out);
            }
        }
    }
}
