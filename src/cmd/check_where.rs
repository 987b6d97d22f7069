//! `check --where`: prints who decides the conditions of an expression.

use std::io::{self, Write};

use anyhow::{Result, bail};

use crate::check::predicate::{Decided, WhereReport, WhereStatus};
use crate::cli::ReportFormat;
use crate::config::Usage;
use crate::escape;
use crate::events::{
    EVENT_TYPES, EventType, accept, cong_state, connect, drop, event_type, life, queue,
    reset_received, reset_sent, retransmit, state, synack_retransmit, tcp_probe,
};
use crate::kernel::Kernel;
use crate::predicate::Predicate;
use crate::suggest;

/// The event types of the commands that print events.
const COMMANDS: &[(&str, &[&EventType])] = &[
    ("probe", &[&tcp_probe::EVENT_TYPE]),
    ("states", &[&state::EVENT_TYPE]),
    ("connect", &[&connect::EVENT_TYPE]),
    ("accept", &[&accept::EVENT_TYPE]),
    ("life", &[&life::EVENT_TYPE]),
    ("retrans", &[&retransmit::EVENT_TYPE, &synack_retransmit::EVENT_TYPE]),
    ("reset", &[&reset_sent::EVENT_TYPE, &reset_received::EVENT_TYPE]),
    ("drop", &[&drop::EVENT_TYPE]),
    ("cong", &[&cong_state::EVENT_TYPE]),
    ("connlat", &[&connect::EVENT_TYPE, &accept::EVENT_TYPE]),
    ("queue", &[&queue::EVENT_TYPE]),
];

/// Prints the report; returns the exit status.
pub fn run(text: &str, of: &[String], kernel: &Kernel, format: ReportFormat) -> Result<u8> {
    let predicate = Predicate::parse(text)?;
    let report = WhereReport::new(&predicate, &event_types(of)?, kernel)?;
    let mut out = Vec::new();
    match format {
        ReportFormat::Json => {
            out = escape::json_document(&serde_json::to_string_pretty(&report)?);
            out.push(b'\n');
        }
        ReportFormat::Text => text_report(&report, &mut out)?,
    }
    super::print(&out)?;
    Ok(0)
}

/// Those of a command, or these.
fn event_types(of: &[String]) -> Result<Vec<&'static EventType>> {
    if let [command] = of
        && let Some((_, event_types)) = COMMANDS.iter().find(|(name, _)| name == command)
    {
        return Ok(event_types.to_vec());
    }
    if of.iter().any(|name| name == "all") {
        return Ok(EVENT_TYPES.iter().collect());
    }
    let mut found = Vec::new();
    for name in of {
        let Some(event_type) = event_type(name) else {
            let known = COMMANDS.iter().map(|(name, _)| *name);
            let event_types = EVENT_TYPES.iter().map(|of| of.name);
            let only = event_types.filter(|name| COMMANDS.iter().all(|(known, _)| known != name));
            let known: Vec<&str> = known.chain(only).collect();
            let list = format!("use {}", known.join(", "));
            let hint = suggest::did_you_mean(name, known, &list);
            bail!(Usage(format!(
                "no command that prints events, and no event type, is named `{name}`; {hint}"
            )));
        };
        found.push(event_type);
    }
    found.sort_by_key(|event_type| event_type.number);
    found.dedup_by_key(|event_type| event_type.number);
    Ok(found)
}

fn text_report(report: &WhereReport, out: &mut Vec<u8>) -> io::Result<()> {
    for (i, event_type) in report.event_types.iter().enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        text_status(event_type, out)?;
    }
    Ok(())
}

fn text_status(status: &WhereStatus, out: &mut Vec<u8>) -> io::Result<()> {
    writeln!(out, "{}", status.name)?;
    for condition in &status.conditions {
        let decided = match condition.decided {
            Decided::Kernel => "kernel",
            Decided::UserSpace => "user space",
            Decided::Always => "always",
            Decided::Never => "never",
        };
        writeln!(out, "  {decided:<10}  {}", escape::line(&condition.condition))?;
        if let Some(reason) = condition.reason {
            writeln!(out, "              because {reason}")?;
        }
    }
    let fields =
        if status.fields.is_empty() { "none".to_owned() } else { status.fields.join(", ") };
    writeln!(out, "  fields      {fields}")
}
