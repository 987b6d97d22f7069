//! `check`: what this kernel, these rights and this binary can do, and what would mend the rest. Changes nothing, needs
//! no rights, and says what it could not see without them.

use std::io::Write;

use anyhow::Result;

use crate::cli::{CheckArgs, ReportFormat};
use crate::kernel::{Kernel, Rights};
use crate::report::{Field, Item, Report};

/// Prints the report. The exit status says whether anything can be traced.
pub fn run(args: &CheckArgs) -> Result<u8> {
    let report = Report::new(&Kernel::new(args.btf.as_deref()), Rights::current());
    let mut out = Vec::new();
    match args.output {
        ReportFormat::Json => {
            serde_json::to_writer_pretty(&mut out, &report)?;
            out.push(b'\n');
        }
        ReportFormat::Text => text(&report, &mut out)?,
    }
    super::print(&out)?;
    Ok(u8::from(!report.ready))
}

fn text(report: &Report, out: &mut Vec<u8>) -> std::io::Result<()> {
    writeln!(
        out,
        "tcc-trace {} on Linux {}: {}",
        report.version,
        report.kernel,
        if report.ready { "ready" } else { "cannot trace as things are" }
    )?;
    writeln!(out, "\nsystem")?;
    report.system.iter().try_for_each(|item| text_item(item, out))?;
    for probe in &report.probes {
        writeln!(out, "\n{} ({})", probe.name, probe.hook)?;
        for usage in &probe.uses {
            if let Some(why) = &usage.refused {
                writeln!(out, "  no   {}: {why}", usage.request)?;
            }
            for (i, reader) in usage.readers.iter().enumerate() {
                let state = match reader.loads {
                    Some(true) => "ok",
                    Some(false) => "no",
                    None => "?",
                };
                let role = if i == 0 { usage.request } else { "  else" };
                let transport = usage.transport.unwrap_or_default();
                writeln!(
                    out,
                    "  {state:<4} {role}: reader {}, {transport} ({})",
                    reader.name, reader.why
                )?;
                reader.error.iter().try_for_each(|error| writeln!(out, "         {error}"))?;
                // Of what would not be used they are in the JSON form.
                let notes = reader.notes.iter().filter(|_| i == 0);
                notes.into_iter().try_for_each(|note| writeln!(out, "         {note}"))?;
            }
        }
        let missing: Vec<&Field> = probe.fields.iter().filter(|field| !field.available).collect();
        writeln!(out, "  {} of {} fields", probe.fields.len() - missing.len(), probe.fields.len())?;
        for field in missing {
            writeln!(
                out,
                "  no   {}: null here, {}",
                field.name,
                field.missing.as_deref().unwrap_or_default()
            )?;
        }
    }
    writeln!(out, "\nalgorithms whose own state is shown")?;
    report.algorithms.iter().try_for_each(|item| text_item(item, out))?;
    if report.probes.iter().any(|probe| probe.readers().any(|reader| reader.loads.is_none())) {
        writeln!(
            out,
            "\nWithout rights it was not tried whether the kernel takes the programs (?): run it as root."
        )?;
    }
    Ok(())
}

fn text_item(item: &Item, out: &mut Vec<u8>) -> std::io::Result<()> {
    writeln!(out, "  {:<4} {}: {}", if item.ok { "ok" } else { "no" }, item.name, item.detail)?;
    if let Some(mend) = &item.mend {
        writeln!(out, "         {mend}")?;
    }
    Ok(())
}
