//! CSV as in RFC 4180: a header line, then one line per event, all with the same columns. A null, and a column of another event
//! type, is an empty cell. A summary has one line per row or, with buckets, per bucket. The accounting is printed to stderr
//! only.

use std::io::{self, Write};

use super::jsonl::write_ip;
use super::out::Out;
use super::plan::{Builder, Plans, Syntax, Writer};
use super::time::TimeFormat;
use super::{Format, Progress, Sink, Stage};
use crate::accounting::Accounting;
use crate::decode::Event;
use crate::escape;
use crate::table::summary::{Form, Summary};
use crate::table::{ColumnSet, MergedColumn, Moment, Selected, Value};

/// The format.
pub static FORMAT: Format = Format::lines("csv", "Comma-separated values.", |out, columns| {
    Box::new(Csv::new(out, &columns.tables, columns.header))
});

/// The sink.
pub struct Csv<W: Write> {
    buffer: Out<W>,
    columns: Columns,
    header: bool,
    writer: Writer,
    plans: Plans,
}

/// Values of cells, quoted if needed.
struct Cell;

impl Syntax for Cell {
    const NULL: &'static str = "";
    const QUOTE: &'static str = "";

    fn is_plain(byte: u8) -> bool {
        escape::is_plain(byte) && byte != b','
    }

    fn value(value: Value<'_>, time: &mut TimeFormat, out: &mut Vec<u8>) {
        write_cell(value, time, out);
    }
}

/// The columns of the lines.
enum Columns {
    /// Of one event type: a field that was requested twice is printed twice.
    Own(Vec<Selected>),
    /// Of several: all columns in order of appearance.
    Merged(Vec<MergedColumn>),
}

impl Columns {
    fn names(&self) -> Vec<&'static str> {
        match self {
            Columns::Own(columns) => columns.iter().map(|s| s.column.name).collect(),
            Columns::Merged(columns) => columns.iter().map(|merged| merged.column().name).collect(),
        }
    }

    /// Those of an event type, with a gap for each of another.
    fn of(&self, event_type: usize) -> Vec<Option<&Selected>> {
        match self {
            Columns::Own(columns) => columns.iter().map(Some).collect(),
            Columns::Merged(columns) => {
                columns.iter().map(|merged| merged.of(event_type)).collect()
            }
        }
    }
}

impl<W: Write> Csv<W> {
    pub fn new(out: W, tables: &[ColumnSet], header: bool) -> Self {
        let columns = match tables {
            [table] => Columns::Own(table.columns.clone()),
            several => Columns::Merged(MergedColumn::all(several)),
        };
        let (buffer, plans) = (Out::new(out), Plans::new(tables));
        Csv { buffer, columns, header, writer: Writer::default(), plans }
    }
}

/// A line: the event type and the columns, with empty cells for those of others.
fn compile(name: &str, columns: &[Option<&Selected>], builder: &mut Builder<'_>) {
    let group = |selected: &Option<&Selected>| selected.and_then(|s| s.column.group());
    builder.text(name);
    for cells in columns.chunk_by(|a, b| group(a) == group(b)) {
        let write = |builder: &mut Builder<'_>| {
            for cell in cells {
                builder.text(",");
                if let Some(selected) = cell {
                    builder.value::<Cell>(selected);
                }
            }
        };
        match group(&cells[0]) {
            Some(group) => builder.group(group, ",".repeat(cells.len()), write),
            None => write(builder),
        }
    }
    builder.text("\n");
}

impl<W: Write> Sink for Csv<W> {
    fn begin(&mut self) -> io::Result<()> {
        let names = self.columns.names();
        if self.header && !names.is_empty() {
            write_header(["type"].into_iter().chain(names), &mut self.buffer);
        }
        Ok(())
    }

    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        let columns = &self.columns;
        let compile = |table: &ColumnSet, builder: &mut Builder<'_>| {
            compile(table.name, &columns.of(table.event_type), builder);
        };
        if let Some(plan) = self.plans.of(event, compile) {
            plan.write::<Cell>(event, &mut self.writer, &mut self.buffer);
        }
        self.buffer.line()
    }

    fn summary(&mut self, summary: &Summary<'_>) -> io::Result<()> {
        let shape = summary.shape;
        // Only once: all summaries of a run have the same columns.
        if std::mem::take(&mut self.header) {
            let buckets = shape.bucket().iter().filter(|_| shape.has_buckets());
            let columns = shape.key.iter().chain(&shape.columns).copied().chain(buckets);
            let first = ["type", "command", "time", "interval_ns"].into_iter();
            write_header(first.chain(columns.map(|column| column.name)), &mut self.buffer);
        }
        for line in &summary.lines {
            let buckets = line
                .buckets
                .iter()
                .map(|bucket| [bucket.from, bucket.to, bucket.count].map(Value::U64).to_vec());
            let mut rows: Vec<Vec<Value<'_>>> =
                if shape.has_buckets() { buckets.collect() } else { vec![Vec::new()] };
            if rows.is_empty() && matches!(shape.form, Form::Page) {
                // The metric has no distribution, or the distribution has no values.
                rows.push(vec![Value::Null; shape.bucket().len()]);
            }
            for bucket in rows {
                self.buffer.extend_from_slice(format!("summary,{}", shape.command).as_bytes());
                let mut cell = |value| append(value, &mut self.writer.time, &mut self.buffer);
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

/// Appends a comma and a cell.
fn append(value: Value<'_>, time: &mut TimeFormat, out: &mut Vec<u8>) {
    out.push(b',');
    write_cell(value, time, out);
}

/// Appends a cell, quoted if needed. Line ends are already escaped.
fn write_cell(value: Value<'_>, time: &mut TimeFormat, out: &mut Vec<u8>) {
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
            for (i, address) in addresses.iter().enumerate() {
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
