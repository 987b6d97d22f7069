//! Options that a command which prints summaries cannot use.

use anyhow::{Result, bail};

use super::args::{TraceArgs, TransportArg};

/// What chooses from events to be printed.
pub(super) fn of_limits(trace: &TraceArgs) -> [(&'static str, bool); 6] {
    [
        ("--where", trace.filters.predicate.is_some()),
        ("--rate", trace.limits.rate.is_some()),
        ("--rate-per-conn", trace.limits.rate_per_conn.is_some()),
        ("--sample", trace.limits.sample.is_some()),
        ("--every", trace.limits.every.is_some()),
        ("--on-change", trace.limits.on_change),
    ]
}

/// Columns of printed events.
pub(super) fn of_fields(trace: &TraceArgs) -> [(&'static str, bool); 2] {
    [("--fields", !trace.output.fields.is_empty()), ("--all-fields", trace.output.all_fields)]
}

/// Options of the transport.
pub(super) fn of_records(trace: &TraceArgs) -> [(&'static str, bool); 2] {
    [
        ("--transport", trace.kernel_options.transport != TransportArg::Auto),
        ("--buffer-size", trace.kernel_options.buffer_size.is_some()),
    ]
}

/// Recordings, which have events.
pub(super) fn of_recordings(trace: &TraceArgs) -> [(&'static str, bool); 2] {
    let recordings = &trace.recordings;
    [("-w", recordings.write.is_some()), ("-r", !recordings.read.is_empty())]
}

pub(super) fn refuse(command: &str, options: &[(&str, bool)]) -> Result<()> {
    match options.iter().find(|(_, given)| *given) {
        Some((option, _)) => {
            bail!("{option} cannot be used with `{command}`, which prints tables, not events")
        }
        None => Ok(()),
    }
}
