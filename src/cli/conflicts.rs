//! Options that a command which prints summaries cannot use.

use anyhow::{Result, bail};

use super::args::{TraceArgs, TransportArg};

/// Options that limit the rate of events.
pub(super) fn of_limits(trace: &TraceArgs) -> [(&'static str, bool); 2] {
    [
        ("--rate", trace.limits.rate.is_some()),
        ("--rate-per-conn", trace.limits.rate_per_conn.is_some()),
    ]
}

/// Options of the transport.
pub(super) fn of_records(trace: &TraceArgs) -> [(&'static str, bool); 2] {
    [
        ("--transport", trace.kernel_options.transport != TransportArg::Auto),
        ("--buffer-size", trace.kernel_options.buffer_size.is_some()),
    ]
}

pub(super) fn refuse(command: &str, options: &[(&str, bool)]) -> Result<()> {
    match options.iter().find(|(_, given)| *given) {
        Some((option, _)) => {
            bail!("{option} cannot be used with `{command}`, which prints tables, not events")
        }
        None => Ok(()),
    }
}
