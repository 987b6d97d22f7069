//! `connlat`: how long opening a connection takes, on both sides; as events or histograms.

use std::time::Duration;

use anyhow::Result;

use crate::cli::Side;
use crate::config::summary::{RowOptions, SummaryOptions, TimeField};
use crate::config::{Config, EventFilters};
use crate::events::{EventType, accept, connect};
use crate::kernel::Kernel;
use crate::session;

/// Traces until the end; returns the exit status.
pub fn run(config: Config, side: Side, min_duration: Option<Duration>) -> Result<u8> {
    let mut config =
        Config { event_filters: EventFilters { min_duration, ..config.event_filters }, ..config };
    let kernel = Kernel::new(config.kernel_options.btf.as_deref());
    let event_types = event_types(&config, &kernel, side);
    if let Some(SummaryOptions { rows: RowOptions::Histograms(histograms), .. }) =
        &mut config.summary
    {
        histograms.fields =
            event_types.iter().flat_map(|event_type| fields(event_type)).copied().collect();
    }
    if config.read.is_wanted() {
        return session::run(&config, &event_types);
    }
    session::run_on(kernel, &config, &event_types)
}

/// The times counted for an event type.
fn fields(event_type: &EventType) -> &'static [TimeField] {
    if event_type.number == accept::EVENT_TYPE.number {
        &[TimeField::Handshake, TimeField::Wait]
    } else {
        &[TimeField::Latency, TimeField::Failed]
    }
}

/// Both sides fall back to the client's, with a note, where the kernel does not support the server's.
fn event_types(config: &Config, kernel: &Kernel, side: Side) -> Vec<&'static EventType> {
    match side {
        Side::Client => return vec![&connect::EVENT_TYPE],
        Side::Server => return vec![&accept::EVENT_TYPE],
        Side::Both => {}
    }
    let missing = if config.read.is_wanted() { None } else { kernel.missing(&accept::EVENT_TYPE) };
    match missing {
        None => vec![&connect::EVENT_TYPE, &accept::EVENT_TYPE],
        Some(why) => {
            if !config.output.quiet {
                session::output::print_line(&format!(
                    "note: the server's side is not traced: {why}"
                ));
            }
            vec![&connect::EVENT_TYPE]
        }
    }
}
