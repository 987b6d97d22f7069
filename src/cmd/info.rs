//! `info`: what is in recordings.

use std::fmt::Write;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use crate::accounting::ActionCounts;
use crate::cli::{InfoArgs, InfoFormat};
use crate::escape;
use crate::privilege;
use crate::recording::codec::ByteOrder;
use crate::recording::info::{Ending, Info};
use crate::recording::reader::Recording;
use crate::sink::TimeFormat;
use crate::table::Moment;

/// Times of loss and gaps that text lists one by one.
const LISTED: usize = 10;

/// Prints each file; the exit status is 1 if a part of one could not be read.
pub fn run(args: &InfoArgs) -> Result<u8> {
    let (mut text, mut status) = (String::new(), 0);
    for (index, path) in args.files.iter().enumerate() {
        let name = escape::path(path);
        let info = read(path, &name)?;
        match args.output {
            InfoFormat::Text => {
                if index > 0 {
                    text.push('\n');
                }
                text += &as_text(&name, &info);
            }
            InfoFormat::Jsonl => as_lines(&name, &info).iter().for_each(|line| {
                // Writing to a String does not fail.
                let _ = writeln!(text, "{line}");
            }),
        }
        status |= u8::from(!info.gaps.is_empty());
    }
    super::print(text.as_bytes())?;
    Ok(status)
}

fn read(path: &Path, name: &str) -> Result<Info> {
    let file = privilege::as_caller(|| File::open(path));
    let file = file.with_context(|| format!("cannot open {name}"))?;
    let recording = Recording::open(file).map_err(|why| anyhow!("{name}: {why}"))?;
    Info::of(recording).with_context(|| format!("cannot read {name}"))
}

fn time(ns: i64) -> String {
    let mut text = Vec::new();
    TimeFormat::default().full(Moment::Wall(ns), &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// With a decimal point.
fn tenths(amount: u64, of: u64) -> String {
    let tenths = amount.saturating_mul(10) / of.max(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn seconds(ns: i64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1000)
}

fn as_text(name: &str, info: &Info) -> String {
    let (header, environment) = (&info.header, &info.header.environment);
    let mut rows: Vec<(&str, String)> = Vec::new();
    let records = info.records();
    let each = if records > 0 {
        format!(", {} bytes an event", tenths(info.bytes, records))
    } else {
        String::new()
    };
    rows.push(("file", format!("{name}: {} bytes, {} frames{each}", info.bytes, info.frames)));
    rows.push(("recording", header.recording.clone()));
    let commit = header.commit.as_ref().map(|commit| format!(" ({commit})")).unwrap_or_default();
    rows.push(("made by", format!("{}{commit}", header.program)));
    let hz = if header.hz > 0 { format!(", HZ {}", header.hz) } else { String::new() };
    rows.push((
        "host",
        format!(
            "{}, {} ({} CPUs{hz}), Linux {}",
            environment.host, header.machine, header.online_cpus, environment.kernel
        ),
    ));
    rows.push(("boot ID", header.boot_id.clone()));
    if header.byte_order != ByteOrder::NATIVE {
        rows.push(("byte order", "not this machine's: it is converted".into()));
    }
    rows.push(("command", header.command_line.join(" ")));
    if let Some(how) = reader(&header.config) {
        rows.push(("traced by", how));
    }
    if let Some(anonymized) = header.config.get("anonymized") {
        let ports = if anonymized["ports"] == true { " and ports" } else { "" };
        rows.push(("anonymized", format!("addresses{ports} are replaced, names are removed")));
    }
    rows.push(("start", time(info.start_ns)));
    let end = info.end_ns.or(info.last_ns).unwrap_or(info.start_ns);
    rows.push(("end", format!("{} (after {})", time(end), seconds(end - info.start_ns))));
    if let (Some(first), Some(last)) = (info.first_ns, info.last_ns) {
        rows.push(("events from", time(first)));
        rows.push(("events to", time(last)));
    }
    rows.push(("ended", match &info.ending {
        Ending::Complete => "in order".into(),
        Ending::Error(error) => format!("early: {error}"),
        Ending::None => format!(
            "no end: its tracer was killed, or still writes it ({} bytes of an incomplete frame)",
            info.rest
        ),
    }));
    if let Some(cost) = info.accounting.as_ref().and_then(|accounting| accounting.own_cost) {
        rows.push(("own cost", cost.parts()));
    }
    if !header.network_namespaces.is_empty() {
        let names = header.network_namespaces.iter().take(LISTED);
        let names: Vec<String> = names.map(|of| format!("{} {}", of.name, of.inode)).collect();
        let all = header.network_namespaces.len();
        let more = if all > LISTED { format!(", {} more", all - LISTED) } else { String::new() };
        rows.push(("network namespaces", format!("{}{more}", names.join(", "))));
    }
    let more = if info.more_connections { "more than " } else { "" };
    rows.push(("connections", format!("{more}{}", info.connections)));
    if !environment.missing_members.is_empty() {
        let missing: Vec<&str> = environment.missing_members.iter().map(String::as_str).collect();
        rows.push(("not in this kernel", missing.join(", ")));
    }
    let mut text = String::new();
    for (title, value) in rows {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{title:<20}{}", escape::line(&value));
    }
    text += "\nEVENT TYPE            RECORDS  FIELDS  COUNTERS\n";
    for event in &info.events {
        let counters = event.counts.map_or_else(
            || "not known: no counters were written".to_owned(),
            |counts| counts.line("").trim_start_matches([':', ' ']).to_owned(),
        );
        let _ = writeln!(
            text,
            "{:<18}{:>11}{:>8}  {counters}",
            event.event_type, event.records, event.fields
        );
    }
    if info.unknown > 0 {
        let _ = writeln!(text, "{:<18}{:>11}", "(unknown)", info.unknown);
    }
    text += &problems(info);
    text
}

/// `reader sock, ring buffer`
fn reader(config: &Value) -> Option<String> {
    Some(format!("reader {}, {}", config["reader"].as_str()?, config["transport"].as_str()?))
}

/// What is missing.
fn problems(info: &Info) -> String {
    let mut text = String::new();
    if !info.losses.is_empty() {
        text += "\nLost while it was recorded\n";
        for loss in info.losses.iter().take(LISTED) {
            let lost: Vec<String> =
                loss.lost.iter().map(|(name, count)| format!("{count} {name}")).collect();
            let span = seconds(loss.to_ns.saturating_sub(loss.from_ns).cast_signed());
            let _ = writeln!(
                text,
                "  {} in {span}: {}",
                time(info.wall_ns(loss.from_ns)),
                escape::line(&lost.join(", "))
            );
        }
        if let Some(more) = info.losses.len().checked_sub(LISTED).filter(|more| *more > 0) {
            let _ = writeln!(text, "  and {more} more times");
        }
    }
    if !info.gaps.is_empty() {
        text += "\nDamaged\n";
        for gap in info.gaps.iter().take(LISTED) {
            let at = |ns: Option<u64>| ns.map_or("-".to_owned(), |ns| time(info.wall_ns(ns)));
            let _ = writeln!(
                text,
                "  byte {}: {} bytes, {} frames, events from {} to {}",
                gap.offset,
                gap.bytes,
                gap.frames,
                at(gap.after_ns),
                at(gap.before_ns)
            );
        }
        let more = info.gaps.len().saturating_sub(LISTED) as u64 + info.more_gaps;
        if more > 0 {
            let _ = writeln!(text, "  and {more} more parts");
        }
    }
    text
}

/// A line for the file, one for each event type, and one for each time that something is missing.
fn as_lines(name: &str, info: &Info) -> Vec<Value> {
    let (header, environment) = (&info.header, &info.header.environment);
    let optional = |ns: Option<i64>| ns.map(time);
    let (ending, error) = match &info.ending {
        Ending::Complete => ("complete", None),
        Ending::Error(error) => ("error", Some(error)),
        Ending::None => ("none", None),
    };
    let mut lines = vec![json!({
        "type": "recording",
        "file": name,
        "bytes": info.bytes,
        "frames": info.frames,
        "records": info.records(),
        "unknown_records": info.unknown,
        "connections": info.connections,
        "more_connections": info.more_connections,
        "recording": header.recording,
        "program": header.program,
        "commit": header.commit,
        "host": environment.host,
        "machine": header.machine,
        "kernel": environment.kernel,
        "kernel_version": header.kernel_version,
        "boot_id": header.boot_id,
        "online_cpus": header.online_cpus,
        "hz": header.hz,
        "network_namespaces": header.network_namespaces,
        "byte_order": header.byte_order,
        "command_line": header.command_line,
        "config": header.config,
        "missing_members": environment.missing_members,
        "start": time(info.start_ns),
        "first_event": optional(info.first_ns),
        "last_event": optional(info.last_ns),
        "end": optional(info.end_ns),
        "ending": ending,
        "error": error,
        "incomplete_bytes": info.rest,
        "late": info.accounting.as_ref().map(|accounting| accounting.late),
        "evicted": info.accounting.as_ref().map(|accounting| accounting.evicted),
        "own_cost": info.accounting.as_ref().and_then(|accounting| accounting.own_cost),
    })];
    for event in &info.events {
        let mut line = json!(event);
        line["type"] = "events".into();
        lines.push(line);
    }
    for loss in &info.losses {
        lines.push(json!({
            "type": "lost",
            "from": time(info.wall_ns(loss.from_ns)),
            "to": time(info.wall_ns(loss.to_ns)),
            "lost": loss.lost,
        }));
    }
    for gap in &info.gaps {
        lines.push(json!({
            "type": "gap",
            "offset": gap.offset,
            "bytes": gap.bytes,
            "frames": gap.frames,
            "from": gap.after_ns.map(|ns| time(info.wall_ns(ns))),
            "to": gap.before_ns.map(|ns| time(info.wall_ns(ns))),
        }));
    }
    lines
}
