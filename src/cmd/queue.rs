//! `queue`: how long packets wait between TCP and the driver.

use std::time::Duration;

use anyhow::Result;

use crate::config::{Config, EventFilters};
use crate::events::queue;
use crate::session;

/// Traces until the end; returns the exit status.
pub fn run(config: Config, min_duration: Option<Duration>) -> Result<u8> {
    let config =
        Config { event_filters: EventFilters { min_duration, ..config.event_filters }, ..config };
    session::run(&config, &[&queue::EVENT_TYPE])
}
