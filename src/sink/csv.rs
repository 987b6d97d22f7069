//! CSV as in RFC 4180: a header line, then one line per event, all with the same columns. A null, and a column of another event
//! type, is an empty cell. A summary has one line per row or, with buckets, per bucket. The accounting is printed to stderr
//! only.

use std::io::{self, Write};

use super::jsonl::write_ip;
use super::out::Out;
use super::time::TimeFormat;
use super::{Format, Progress, Sink, Stage};
use crate::accounting::Accounting;
use crate::escape;
use crate::table::summary::{BUCKET, Summary};
use crate::table::{ColumnSet, MergedColumn, Moment, Row, Value};

/// The format.
pub static FORMAT: Format = Format {
    name: "csv",
    doc: "Comma-separated values.",
    is_text: false,
    create: |out, columns| Box::new(Csv::new(out, &columns.tables, columns.header)),
};

/// The sink.
pub struct Csv<W: Write> {
    buffer: Out<W>,
    names: Vec<(usize, &'static str)>,
    columns: Vec<MergedColumn>,
    header: bool,
    time: TimeFormat,
}

impl<W: Write> Csv<W> {
    /// With several tables, all columns in order of appearance.
    pub fn new(out: W, tables: &[ColumnSet], header: bool) -> Self {
        let columns = match tables {
            // A field that was requested twice is printed twice.
            [table] => {
                table.columns.iter().map(|s| MergedColumn::one(table.event_type, *s)).collect()
            }
            several => MergedColumn::all(several),
        };
        Csv {
            buffer: Out::new(out),
            names: tables.iter().map(|table| (table.event_type, table.name)).collect(),
            columns,
            header,
            time: TimeFormat::default(),
        }
    }
}

impl<W: Write> Sink for Csv<W> {
    fn begin(&mut self) -> io::Result<()> {
        if self.header && !self.columns.is_empty() {
            let columns = self.columns.iter().map(|column| column.column().name);
            write_header(["type"].into_iter().chain(columns), &mut self.buffer);
        }
        Ok(())
    }

    fn event(&mut self, row: &dyn Row) -> io::Result<()> {
        let name = self.names.iter().find(|(event_type, _)| *event_type == row.event_type());
        self.buffer.extend_from_slice(name.map_or("", |(_, name)| name).as_bytes());
        for column in &self.columns {
            append(column.value(row), &mut self.time, &mut self.buffer);
        }
        self.buffer.push(b'\n');
        self.buffer.line()
    }

    fn summary(&mut self, summary: &Summary<'_>) -> io::Result<()> {
        let shape = summary.shape;
        // Only once: all summaries of a run have the same columns.
        if std::mem::take(&mut self.header) {
            let buckets = BUCKET.iter().filter(|_| shape.has_buckets());
            let columns = shape.key.iter().chain(&shape.columns).copied().chain(buckets);
            let first = ["type", "command", "time", "interval_ns"].into_iter();
            write_header(first.chain(columns.map(|column| column.name)), &mut self.buffer);
        }
        for line in &summary.lines {
            let buckets = line
                .buckets
                .iter()
                .map(|bucket| [bucket.from, bucket.to, bucket.count].map(Value::U64).to_vec());
            let rows: Vec<Vec<Value<'_>>> =
                if shape.has_buckets() { buckets.collect() } else { vec![Vec::new()] };
            for bucket in rows {
                self.buffer.extend_from_slice(format!("summary,{}", shape.command).as_bytes());
                let mut cell = |value| append(value, &mut self.time, &mut self.buffer);
                cell(Value::Time(summary.time));
                cell(Value::U64(summary.interval_ns));
                match &line.key {
                    Some(key) => key.iter().for_each(|&value| cell(value)),
                    None => shape.key.iter().for_each(|_| cell(Value::Null)),
                }
                line.values.iter().chain(&bucket).for_each(|&value| cell(value));
                self.buffer.push(b'\n');
            }
        }
        Ok(())
    }

    fn account(&mut self, _: Stage, _: Moment, _: &Accounting) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.buffer.flush()
    }

    fn progress(&self) -> Progress {
        self.buffer.progress()
    }
}

fn write_header<'n>(names: impl Iterator<Item = &'n str>, out: &mut Vec<u8>) {
    let names: Vec<&str> = names.collect();
    out.extend_from_slice(names.join(",").as_bytes());
    out.push(b'\n');
}

/// Appends a cell, quoted if needed. Line ends are already escaped.
fn append(value: Value<'_>, time: &mut TimeFormat, out: &mut Vec<u8>) {
    out.push(b',');
    let start = out.len();
    write_value(value, time, out);
    if out[start..].iter().any(|byte| matches!(byte, b',' | b'"')) {
        let bare = out.split_off(start);
        out.push(b'"');
        for byte in bare {
            if byte == b'"' {
                out.push(b'"');
            }
            out.push(byte);
        }
        out.push(b'"');
    }
}

/// Writes the unquoted value, for CSV and text cells.
pub(super) fn write_value(value: Value<'_>, time: &mut TimeFormat, out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::Bool(flag) => out.extend_from_slice(if flag { b"true" } else { b"false" }),
        Value::U64(n) => out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
        Value::I64(n) => out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
        Value::F64(n) => out.extend_from_slice(ryu::Buffer::new().format(n).as_bytes()),
        Value::Str(text) => escape::text(text, out),
        Value::Name(bytes) => escape::name(bytes, out),
        Value::Ip(ip) => write_ip(ip, out),
        Value::Time(moment) => time.full(moment, out),
        Value::Code(address, symbols) => {
            symbols.shown(address).iter().for_each(|code| escape::text(code, out));
        }
        Value::Stack(addresses, symbols) => {
            for (i, &address) in addresses.iter().enumerate() {
                if i > 0 {
                    out.push(b';');
                }
                symbols.shown(address).iter().for_each(|code| escape::text(code, out));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_read_as_it_was() {
        let values = ["", "plain", "a,b", "\"", "say \"a\"", "two\nlines", "\r", " a ", "\u{202e}"];
        let mut line = b"first".to_vec();
        for value in values {
            append(Value::Str(value), &mut TimeFormat::default(), &mut line);
        }
        assert!(line.starts_with(b"first,,plain,\"a,b\",\"\"\"\","), "{line:?}");
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&line[..]);
        let record = reader.records().next().expect("a record").expect("CSV");
        let read = |cell: &str| String::from_utf8(escape::unescape(cell)).expect("UTF-8");
        assert_eq!(record.iter().skip(1).map(read).collect::<Vec<_>>(), values);
    }
}
