//! One JSON object per line.

use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use super::out::Out;
use super::plan::{Builder, Plans, Syntax, Writer};
use super::time::TimeFormat;
use super::{Format, Note, Progress, Sink, Stage};
use crate::accounting::{Accounting, ActionCounts, total};
use crate::decode::Event;
use crate::escape;
use crate::symbols::Symbols;
use crate::table::summary::{Line, Summary};
use crate::table::{ColumnSet, Moment, Selected, Value};

/// The format.
pub static FORMAT: Format = Format::lines("jsonl", "One JSON object per line.", |out, columns| {
    Box::new(Jsonl::new(out, &columns.tables))
});

/// The sink.
pub struct Jsonl<W: Write> {
    buffer: Out<W>,
    writer: Writer,
    plans: Plans,
}

/// JSON values.
struct Json;

impl Syntax for Json {
    const NULL: &'static str = "null";
    const QUOTE: &'static str = "\"";

    fn is_plain(byte: u8) -> bool {
        escape::is_plain(byte)
    }

    fn value(value: Value<'_>, time: &mut TimeFormat, out: &mut Vec<u8>) {
        write_value(value, time, out);
    }
}

/// The objects of one event type: a member per column, and one with the columns of each algorithm, which is null for the others.
fn compile(table: &ColumnSet, builder: &mut Builder<'_>) {
    builder.text(&format!("{{\"type\":\"{}\"", table.name));
    // A key is unique in an object, even if requested twice.
    let mut columns: Vec<&Selected> = Vec::new();
    for column in &table.columns {
        if columns.iter().all(|earlier| earlier.index != column.index) {
            columns.push(column);
        }
    }
    let mut groups = Vec::new();
    for selected in &columns {
        let Some(group) = selected.column.group() else {
            builder.text(&format!(",\"{}\":", selected.column.name));
            builder.value::<Json>(selected);
            continue;
        };
        if groups.contains(&group) {
            continue;
        }
        groups.push(group);
        builder.text(&format!(",\"{group}\":"));
        builder.group(group, Json::NULL.to_owned(), |builder| {
            let members = columns.iter().filter(|s| s.column.group() == Some(group));
            for (i, member) in members.enumerate() {
                let before = if i == 0 { '{' } else { ',' };
                builder.text(&format!("{before}\"{}\":", member.column.leaf()));
                builder.value::<Json>(member);
            }
            builder.text("}");
        });
    }
    builder.text("}\n");
}

impl<W: Write> Jsonl<W> {
    pub fn new(out: W, tables: &[ColumnSet]) -> Self {
        Jsonl { buffer: Out::new(out), writer: Writer::default(), plans: Plans::new(tables) }
    }
}

impl<W: Write> Sink for Jsonl<W> {
    fn begin(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        if let Some(plan) = self.plans.of(event, compile) {
            plan.write::<Json>(event, &mut self.writer, &mut self.buffer);
        }
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
        write_value(Value::Time(now), &mut self.writer.time, out);
        out.extend_from_slice(b",\"duration_ns\":");
        write_value(Value::U64(accounting.duration_ns), &mut self.writer.time, out);
        write!(out, ",\"late\":{}", accounting.late)?;
        out.extend_from_slice(b",\"evicted\":");
        serde_json::to_writer(&mut *out, &accounting.evicted)?;
        if let Some(cost) = &accounting.own_cost {
            out.extend_from_slice(b",\"own_cost\":");
            serde_json::to_writer(&mut *out, cost)?;
        }
        if !accounting.event_types.is_empty() {
            out.push(b',');
            write_counts(&accounting.event_types, out)?;
        }
        if !accounting.aggregate.is_empty() {
            out.extend_from_slice(b",\"aggregate\":{");
            write_counts(&accounting.aggregate, out)?;
            out.push(b'}');
        }
        if !accounting.count.is_empty() {
            out.extend_from_slice(b",\"count\":{");
            write_counts(&accounting.count, out)?;
            out.push(b'}');
        }
        if !accounting.outputs.is_empty() {
            out.extend_from_slice(b",\"outputs\":");
            serde_json::to_writer(&mut *out, &accounting.outputs)?;
        }
        out.extend_from_slice(b"}\n");
        Ok(())
    }

    fn note(&mut self, note: &Note<'_>) -> io::Result<()> {
        let Note::LeftOut(time, notice) = note else { return Ok(()) };
        let out: &mut Vec<u8> = &mut self.buffer;
        out.extend_from_slice(b"{\"type\":\"notice\",\"time\":");
        write_value(Value::Time(*time), &mut self.writer.time, out);
        write!(out, ",\"interval_ns\":{},\"evicted\":", notice.interval_ns)?;
        serde_json::to_writer(&mut *out, &notice.evicted)?;
        out.extend_from_slice(b",\"event_types\":{");
        for (i, (event_type, left_out)) in notice.event_types.iter().enumerate() {
            write!(out, "{}\"{event_type}\":", if i == 0 { "" } else { "," })?;
            serde_json::to_writer(&mut *out, left_out)?;
        }
        out.extend_from_slice(b"}}\n");
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
        write_value(Value::Time(summary.time), &mut self.writer.time, out);
        write!(out, ",\"interval_ns\":{},\"key\":", summary.interval_ns)?;
        match &line.key {
            None => out.extend_from_slice(b"null"),
            Some(values) => {
                out.push(b'{');
                for (i, (column, value)) in shape.key.iter().zip(values).enumerate() {
                    write!(out, "{}\"{}\":", if i == 0 { "" } else { "," }, column.name)?;
                    write_value(*value, &mut self.writer.time, out);
                }
                out.push(b'}');
            }
        }
        for (column, value) in shape.columns.iter().zip(&line.values) {
            write!(out, ",\"{}\":", column.name)?;
            write_value(*value, &mut self.writer.time, out);
        }
        if shape.has_buckets() {
            out.extend_from_slice(b",\"buckets\":[");
            for (i, bucket) in line.buckets.iter().enumerate() {
                out.extend_from_slice(if i == 0 { b"{" } else { b",{" });
                let values = [bucket.from, bucket.to, bucket.count];
                for (i, (column, value)) in shape.bucket().iter().zip(values).enumerate() {
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

/// The members of an action: the totals, and `event_types`.
fn write_counts<C: ActionCounts + Serialize>(
    event_types: &[(&'static str, C)],
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let total = serde_json::to_string(&total(event_types))?;
    write!(out, "{},\"event_types\":{{", total.trim_matches(['{', '}']))?;
    for (i, (event_type, counts)) in event_types.iter().enumerate() {
        write!(out, "{}\"{event_type}\":", if i == 0 { "" } else { "," })?;
        serde_json::to_writer(&mut *out, counts)?;
    }
    out.push(b'}');
    Ok(())
}

pub(super) fn write_value(value: Value<'_>, time: &mut TimeFormat, out: &mut Vec<u8>) {
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
            for (i, address) in addresses.iter().enumerate() {
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
