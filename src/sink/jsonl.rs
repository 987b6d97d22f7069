//! One JSON object per line. Keys are formatted once and copied; numbers are formatted without allocation.

use std::io::{self, Write};
use std::net::IpAddr;

use super::out::Out;
use super::time::TimeFormat;
use super::{Format, Progress, Sink, Stage};
use crate::accounting::Accounting;
use crate::escape;
use crate::symbols::Symbols;
use crate::table::summary::{BUCKET, Line, Summary};
use crate::table::{ColumnSet, Moment, Row, Selected, Value};

/// A column, or an object of the columns of one algorithm.
enum JsonItem {
    Column { key: Key, column: Selected },
    Group { key: Key, name: &'static str, members: Vec<(Key, Selected)> },
}

/// `,"name":`. A line has a hundred of them, and copies of a constant length take a third of the time: so a whole block is copied
/// and the line then truncated.
enum Key {
    Short { block: [u8; KEY_BLOCK], len: usize },
    Long(Vec<u8>),
}

const KEY_BLOCK: usize = 32;

impl Key {
    fn new(name: &str) -> Self {
        let key = format!(",\"{name}\":").into_bytes();
        let mut block = [0; KEY_BLOCK];
        match block.get_mut(..key.len()) {
            Some(begin) => begin.copy_from_slice(&key),
            None => return Key::Long(key),
        }
        Key::Short { block, len: key.len() }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Key::Short { block, len } => {
                let end = out.len() + len;
                out.extend_from_slice(block);
                out.truncate(end);
            }
            Key::Long(key) => out.extend_from_slice(key),
        }
    }
}

/// The format.
pub static FORMAT: Format = Format {
    name: "jsonl",
    doc: "One JSON object per line.",
    is_text: false,
    create: |out, columns| Box::new(Jsonl::new(out, &columns.tables)),
};

/// The sink.
pub struct Jsonl<W: Write> {
    buffer: Out<W>,
    time: TimeFormat,
    /// By event type number.
    layouts: Vec<Option<TypeLayout>>,
}

/// The layout of one event type's objects.
struct TypeLayout {
    open: Vec<u8>,
    items: Vec<JsonItem>,
}

impl TypeLayout {
    fn new(table: &ColumnSet) -> Self {
        let mut items: Vec<JsonItem> = Vec::new();
        // A key is unique in an object, even if requested twice.
        for (i, &column) in table.columns.iter().enumerate() {
            if table.columns[..i].iter().any(|earlier| earlier.index == column.index) {
                continue;
            }
            let leaf = Key::new(column.column.leaf());
            let Some(group) = column.column.group() else {
                items.push(JsonItem::Column { key: leaf, column });
                continue;
            };
            let known = items.iter_mut().find_map(|item| match item {
                JsonItem::Group { name, members, .. } if *name == group => Some(members),
                _ => None,
            });
            match known {
                Some(members) => members.push((leaf, column)),
                None => {
                    let members = vec![(leaf, column)];
                    items.push(JsonItem::Group { key: Key::new(group), name: group, members });
                }
            }
        }
        TypeLayout { open: format!("{{\"type\":\"{}\"", table.name).into_bytes(), items }
    }
}

impl<W: Write> Jsonl<W> {
    pub fn new(out: W, tables: &[ColumnSet]) -> Self {
        let mut layouts = Vec::new();
        for table in tables {
            layouts.resize_with(layouts.len().max(table.event_type + 1), || None);
            layouts[table.event_type] = Some(TypeLayout::new(table));
        }
        Jsonl { buffer: Out::new(out), time: TimeFormat::default(), layouts }
    }
}

impl<W: Write> Sink for Jsonl<W> {
    fn begin(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, row: &dyn Row) -> io::Result<()> {
        let Some(Some(layout)) = self.layouts.get(row.event_type()) else {
            return Ok(());
        };
        let out: &mut Vec<u8> = &mut self.buffer;
        out.extend_from_slice(&layout.open);
        for item in &layout.items {
            match item {
                JsonItem::Column { key, column } => {
                    key.write(out);
                    write_value(column.value(row), &mut self.time, out);
                }
                JsonItem::Group { key, name, .. } if !row.has_group(name) => {
                    key.write(out);
                    out.extend_from_slice(b"null");
                }
                JsonItem::Group { key, members, .. } => {
                    key.write(out);
                    // The first member's comma becomes the brace.
                    let start = out.len();
                    for (key, column) in members {
                        key.write(out);
                        write_value(column.value(row), &mut self.time, out);
                    }
                    out[start] = b'{';
                    out.push(b'}');
                }
            }
        }
        out.extend_from_slice(b"}\n");
        self.buffer.line()
    }

    fn summary(&mut self, summary: &Summary<'_>) -> io::Result<()> {
        for line in &summary.lines {
            self.summary_line(summary, line)?;
        }
        Ok(())
    }

    fn account(&mut self, stage: Stage, now: Moment, accounting: &Accounting) -> io::Result<()> {
        let out: &mut Vec<u8> = &mut self.buffer;
        out.extend_from_slice(if stage == Stage::End {
            b"{\"type\":\"end\""
        } else {
            b"{\"type\":\"stats\""
        });
        out.extend_from_slice(b",\"time\":");
        write_value(Value::Time(now), &mut self.time, out);
        out.extend_from_slice(b",\"duration_ns\":");
        write_value(Value::U64(accounting.duration_ns), &mut self.time, out);
        write!(out, ",\"late\":{}", accounting.late)?;
        out.extend_from_slice(b",\"evicted\":");
        serde_json::to_writer(&mut *out, &accounting.evicted)?;
        // The totals are inlined: `{…}` without its braces.
        let total = serde_json::to_string(&accounting.total())?;
        write!(out, ",{}", total.trim_matches(['{', '}']))?;
        out.extend_from_slice(b",\"event_types\":{");
        for (i, (event_type, counts)) in accounting.event_types.iter().enumerate() {
            write!(out, "{}\"{event_type}\":", if i == 0 { "" } else { "," })?;
            serde_json::to_writer(&mut *out, counts)?;
        }
        out.push(b'}');
        if !accounting.outputs.is_empty() {
            out.extend_from_slice(b",\"outputs\":");
            serde_json::to_writer(&mut *out, &accounting.outputs)?;
        }
        out.extend_from_slice(b"}\n");
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.buffer.flush()
    }

    fn progress(&self) -> Progress {
        self.buffer.progress()
    }
}

impl<W: Write> Jsonl<W> {
    fn summary_line(&mut self, summary: &Summary<'_>, line: &Line<'_>) -> io::Result<()> {
        let shape = summary.shape;
        let out: &mut Vec<u8> = &mut self.buffer;
        write!(out, "{{\"type\":\"summary\",\"command\":\"{}\",\"time\":", shape.command)?;
        write_value(Value::Time(summary.time), &mut self.time, out);
        write!(out, ",\"interval_ns\":{},\"key\":", summary.interval_ns)?;
        match &line.key {
            None => out.extend_from_slice(b"null"),
            Some(values) => {
                out.push(b'{');
                for (i, (column, value)) in shape.key.iter().zip(values).enumerate() {
                    write!(out, "{}\"{}\":", if i == 0 { "" } else { "," }, column.name)?;
                    write_value(*value, &mut self.time, out);
                }
                out.push(b'}');
            }
        }
        for (column, value) in shape.columns.iter().zip(&line.values) {
            write!(out, ",\"{}\":", column.name)?;
            write_value(*value, &mut self.time, out);
        }
        if shape.has_buckets() {
            out.extend_from_slice(b",\"buckets\":[");
            for (i, bucket) in line.buckets.iter().enumerate() {
                out.extend_from_slice(if i == 0 { b"{" } else { b",{" });
                let values = [bucket.from, bucket.to, bucket.count];
                for (i, (column, value)) in BUCKET.iter().zip(values).enumerate() {
                    let name = column.name.trim_start_matches("bucket_");
                    write!(out, "{}\"{name}\":{value}", if i == 0 { "" } else { "," })?;
                }
                out.push(b'}');
            }
            out.push(b']');
        }
        out.extend_from_slice(b"}\n");
        Ok(())
    }
}

fn write_value(value: Value<'_>, time: &mut TimeFormat, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        // The common case: counters at zero.
        Value::U64(n @ 0..10) => out.push(b'0' + n as u8),
        Value::U64(n) => out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
        Value::I64(n) => out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
        Value::F64(n) if n.is_finite() => {
            out.extend_from_slice(ryu::Buffer::new().format_finite(n).as_bytes())
        }
        Value::F64(_) => out.extend_from_slice(b"null"),
        Value::Str(text) => escape::json(text, out),
        Value::Name(bytes) => escape::json_name(bytes, out),
        Value::Ip(ip) => {
            out.push(b'"');
            write_ip(ip, out);
            out.push(b'"');
        }
        Value::Time(moment @ Moment::Wall(_)) => {
            out.push(b'"');
            time.full(moment, out);
            out.push(b'"');
        }
        Value::Time(moment) => time.full(moment, out),
        Value::Code(address, symbols) => write_code(address, symbols, out),
        Value::Stack(addresses, symbols) => {
            out.push(b'[');
            for (i, &address) in addresses.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_code(address, symbols, out);
            }
            out.push(b']');
        }
    }
}

fn write_code(address: u64, symbols: &Symbols, out: &mut Vec<u8>) {
    match symbols.shown(address) {
        Some(code) => escape::json(&code, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Used by all sinks. Avoids the formatting machinery for IPv4, the common case.
pub(super) fn write_ip(ip: IpAddr, out: &mut Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => {
            for (i, octet) in ip.octets().into_iter().enumerate() {
                if i > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        // Writing to a Vec does not fail.
        IpAddr::V6(ip) => drop(write!(out, "{ip}")),
    }
}
