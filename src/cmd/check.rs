//! `check`: what this kernel, these rights and this binary can do, and what would fix the rest. Changes nothing, needs
//! no rights, and says what it could not see without them.

use std::io::Write;

use anyhow::Result;

use crate::check::{CheckItem, CheckReport, FieldStatus};
use crate::cli::{CheckArgs, ReportFormat};
use crate::escape;
use crate::kernel::{Kernel, Rights};

/// Prints the report. The exit status says whether anything can be traced.
pub fn run(args: &CheckArgs) -> Result<u8> {
    let report = CheckReport::new(&Kernel::new(args.btf.as_deref()), Rights::current());
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

fn text(report: &CheckReport, out: &mut Vec<u8>) -> std::io::Result<()> {
    writeln!(
        out,
        "tcc-trace {} on Linux {}: {}",
        report.version,
        report.kernel,
        if report.ready { "ready" } else { "cannot trace as things are" }
    )?;
    writeln!(out, "\nsystem")?;
    text_items(&report.system, out)?;
    for probe in &report.events {
        writeln!(out, "\n{} ({})", probe.name, probe.hook)?;
        for usage in &probe.uses {
            if let Some(why) = &usage.refused {
                writeln!(out, "  {} {}: {why}", mark(usage.possible), usage.request)?;
            }
            for (i, reader) in usage.readers.iter().enumerate() {
                let state = mark(reader.loads);
                let role = if i == 0 { usage.request } else { "  else" };
                let transport = usage.transport.unwrap_or_default();
                writeln!(
                    out,
                    "  {state} {role}: reader {}, {transport} ({})",
                    reader.name, reader.why
                )?;
                reader.error.iter().try_for_each(|error| writeln!(out, "         {error}"))?;
                // Of what would not be used they are in the JSON form.
                let notes = reader.notes.iter().filter(|_| i == 0);
                notes.into_iter().try_for_each(|note| writeln!(out, "         {note}"))?;
            }
        }
        if probe.uses.iter().any(|usage| usage.possible == Some(true)) {
            text_fields(&probe.fields, out)?;
        }
    }
    writeln!(out, "\nalgorithms whose own state is shown")?;
    text_items(&report.algorithms, out)?;
    if report.events.iter().any(|probe| probe.readers().any(|reader| reader.loads.is_none())) {
        writeln!(
            out,
            "\nWithout rights it was not tried whether the kernel takes the programs (?): run it as root."
        )?;
    }
    Ok(())
}

/// How many there are, and each that is missing; those of an algorithm together, where they all are.
fn text_fields(fields: &[FieldStatus], out: &mut Vec<u8>) -> std::io::Result<()> {
    let available = fields.iter().filter(|field| field.available == Some(true)).count();
    writeln!(out, "  {available} of {} fields", fields.len())?;
    let group = |field: &FieldStatus| field.name.split_once('.').map(|(group, _)| group);
    let mut lines: Vec<String> = Vec::new();
    for field in fields {
        let Some(why) = &field.missing else {
            continue;
        };
        let alike = |other: &&FieldStatus| other.missing.as_ref() == Some(why);
        let name = match group(field) {
            Some(of)
                if fields.iter().filter(|other| group(other) == Some(of)).all(|f| alike(&f)) =>
            {
                format!("{of}.*")
            }
            _ => field.name.to_owned(),
        };
        let null = if field.available.is_none() { "" } else { "null here, " };
        lines.push(format!("  {} {name}: {null}{why}", mark(field.available)));
    }
    lines.dedup();
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// What would fix several is said once.
fn text_items(items: &[CheckItem], out: &mut Vec<u8>) -> std::io::Result<()> {
    let mut said: Vec<&str> = Vec::new();
    for item in items {
        writeln!(out, "  {} {}: {}", mark(item.ok), item.name, item.detail)?;
        if let Some(fix) = item.fix.as_deref().filter(|fix| !said.contains(fix)) {
            writeln!(out, "         {fix}")?;
            said.push(fix);
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
