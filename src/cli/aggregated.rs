//! The configuration of a command that prints summaries.

use anyhow::{Result, bail};

use super::args::TraceArgs;
use super::conflicts::{of_fields, of_limits, of_records, refuse};
use super::outputs::OutputArg;
use crate::config::summary::SummaryOptions;
use crate::config::{Actions, Config};

/// Counted by the programs, which send records only of `events`.
pub(super) fn in_kernel(
    trace: TraceArgs,
    command: &str,
    summary: SummaryOptions,
    events: &[OutputArg],
) -> Result<Config> {
    let read = !trace.recordings.read.is_empty();
    if read {
        // What events do not have: the times in states that have not ended.
        refuse(command, &[("-r", summary.aggregate.reads_state_times())])?;
        if !events.is_empty() {
            bail!("--events cannot be used with -r; print recorded events with `events -r FILE`");
        }
        return aggregated(trace, command, summary, events);
    }
    let record = !events.is_empty() || trace.recordings.write.is_some();
    if !record {
        refuse(command, &of_records(&trace))?;
    }
    let mut config = aggregated(trace, command, summary, events)?;
    config.actions = Actions { aggregate: true, record, ..config.actions };
    if !record {
        config.kernel_options.buffer_size = Some(SMALLEST_BUFFER);
    }
    Ok(config)
}

/// No event is sent through the buffer.
const SMALLEST_BUFFER: u32 = 4096;

pub(super) fn aggregated(
    trace: TraceArgs,
    command: &str,
    summary: SummaryOptions,
    events: &[OutputArg],
) -> Result<Config> {
    let of_events =
        [("--count", trace.limits.count.is_some()), ("--format", trace.output.format.is_some())];
    refuse(command, &of_events)?;
    if events.is_empty() && trace.recordings.write.is_none() {
        refuse(command, &of_limits(&trace))?;
        refuse(command, &of_fields(&trace))?;
    }
    let mut config = trace.into_config_with(Some(events))?;
    config.summary = Some(summary);
    Ok(config)
}

/// Counted by the programs, and nothing else.
pub(super) fn only_counted(trace: TraceArgs, stack: bool) -> Result<Config> {
    let of_events = [
        ("--stack", stack),
        ("-w", trace.recordings.write.is_some()),
        ("-r", !trace.recordings.read.is_empty()),
        ("--count", trace.limits.count.is_some()),
        ("--format", trace.output.format.is_some()),
        ("--anonymize", trace.output.anonymize),
    ];
    let limits = of_limits(&trace);
    let fields = of_fields(&trace);
    let records = of_records(&trace);
    let all = of_events.iter().chain(&limits).chain(&fields).chain(&records);
    if let Some((option, _)) = all.into_iter().find(|(_, given)| *given) {
        bail!("{option} cannot be used with --counters-only, which prints no events");
    }
    let mut config = trace.into_config()?;
    config.actions = Actions { count: true, aggregate: false, record: false };
    config.kernel_options.buffer_size = Some(SMALLEST_BUFFER);
    Ok(config)
}
