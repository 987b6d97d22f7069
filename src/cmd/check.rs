//! `check`: what works with this kernel, these privileges and this binary, and how to fix the rest. It changes nothing, needs
//! no privileges, and marks what it cannot determine without them.

use std::io::{self, Write};

use anyhow::Result;

use crate::check::{CheckItem, CheckReport, EventStatus, FieldStatus, ReaderStatus, RequestStatus};
use crate::cli::{CheckArgs, ReportFormat};
use crate::escape;
use crate::kernel::{Kernel, Rights};

/// Prints the report. The exit status says whether anything can be traced.
pub fn run(args: &CheckArgs) -> Result<u8> {
    let kernel = Kernel::new(args.btf.as_deref());
    if let Some(predicate) = &args.predicate {
        return super::check_where::run(predicate, &args.events, &kernel, args.output);
    }
    let report = CheckReport::new(&kernel, Rights::current());
    let mut out = Vec::new();
    match args.output {
        ReportFormat::Json => {
            out = escape::json_document(&serde_json::to_string_pretty(&report)?);
            out.push(b'\n');
        }
        ReportFormat::Text => text(&report, &mut out)?,
    }
    super::print(&out)?;
    Ok(u8::from(!report.ready))
}

fn text(report: &CheckReport, out: &mut Vec<u8>) -> io::Result<()> {
    let state = if report.ready { "ready" } else { "not ready" };
    writeln!(out, "tcc-trace {} on Linux {}: {state}", report.version, report.kernel)?;
    writeln!(out, "\nSystem")?;
    text_items(&report.system, out)?;
    writeln!(out, "\nEvent types, with their readers in order of preference")?;
    report.events.iter().try_for_each(|event_type| text_event(event_type, out))?;
    writeln!(out, "\nCongestion control algorithms whose private state is shown")?;
    text_items(&report.algorithms, out)?;
    if report.events.iter().any(|event| event.readers().any(|reader| reader.loads.is_none())) {
        writeln!(
            out,
            "\nThe programs were not loaded (?), as that needs privileges: run as root to test them."
        )?;
    }
    Ok(())
}

fn text_event(event_type: &EventStatus, out: &mut Vec<u8>) -> io::Result<()> {
    for (i, request) in event_type.requests.iter().enumerate() {
        // The first one is for the standard fields, unless all event records are the same.
        let name = match i {
            0 => event_type.name.to_owned(),
            _ => format!("{} --all-fields", event_type.name),
        };
        if let Some(reason) = &request.reason {
            let reason = reason.strip_prefix(&format!("{}: ", event_type.name)).unwrap_or(reason);
            writeln!(out, "  {} {name:<20} {reason}", mark(request.available))?;
            continue;
        }
        let usable: Vec<&ReaderStatus> =
            request.readers.iter().filter(|reader| reader.loads != Some(false)).collect();
        let readers: Vec<&str> = usable.iter().map(|reader| reader.name).collect();
        let readers = if readers.is_empty() { "none".to_owned() } else { readers.join(", ") };
        writeln!(out, "  {} {name:<20} {readers:<18} {}", mark(loads(request)), event_type.hook)?;
        for reader in &request.readers {
            if let Some(error) = &reader.error {
                writeln!(out, "      no   reader {}: {error}", reader.name)?;
            }
        }
        // The JSON report has the notes of the other readers.
        let notes = usable.first().into_iter().flat_map(|reader| &reader.notes);
        notes.into_iter().try_for_each(|note| writeln!(out, "      note: {note}"))?;
    }
    if event_type.requests.iter().any(|request| request.available == Some(true)) {
        text_fields(&event_type.fields, out)?;
    }
    Ok(())
}

/// Whether a reader works.
fn loads(request: &RequestStatus) -> Option<bool> {
    let mut loads = request.readers.iter().map(|reader| reader.loads);
    if loads.clone().any(|loads| loads.is_none()) {
        return None;
    }
    Some(loads.any(|loads| loads == Some(true)))
}

/// The fields that are null or unknown. An algorithm's fields share a line if all of them are.
fn text_fields(fields: &[FieldStatus], out: &mut Vec<u8>) -> io::Result<()> {
    let group = |field: &FieldStatus| field.name.split_once('.').map(|(group, _)| group);
    let mut lines: Vec<String> = Vec::new();
    for field in fields {
        let Some(reason) = &field.reason else {
            continue;
        };
        let alike = |other: &&FieldStatus| other.reason.as_ref() == Some(reason);
        let name = match group(field) {
            Some(of)
                if fields.iter().filter(|other| group(other) == Some(of)).all(|f| alike(&f)) =>
            {
                format!("{of}.*")
            }
            _ => field.name.to_owned(),
        };
        lines.push(format!("      {} {name}: {reason}", mark(field.available)));
    }
    lines.dedup();
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// A fix that several items share is printed once.
fn text_items(items: &[CheckItem], out: &mut Vec<u8>) -> io::Result<()> {
    let mut printed: Vec<&str> = Vec::new();
    for item in items {
        writeln!(out, "  {} {:<20} {}", mark(item.ok), item.name, item.detail)?;
        if let Some(fix) = item.fix.as_deref().filter(|fix| !printed.contains(fix)) {
            writeln!(out, "       {:<20} fix: {fix}", "")?;
            printed.push(fix);
        }
    }
    Ok(())
}

fn mark(known: Option<bool>) -> &'static str {
    match known {
        Some(true) => "ok  ",
        Some(false) => "no  ",
        None => "?   ",
    }
}
