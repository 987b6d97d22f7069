//! `connect`: active opens and their outcome.

use anyhow::Result;

use crate::config::{Config, EventFilters};
use crate::events::connect;
use crate::session;

/// Traces until the end; returns the exit status.
pub fn run(config: Config, failed: bool) -> Result<u8> {
    let config =
        Config { event_filters: EventFilters { failed, ..config.event_filters }, ..config };
    session::run(&config, &[&connect::EVENT_TYPE])
}
