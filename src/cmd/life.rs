//! `life`: connections as they end, and those open at the start.

use std::time::Duration;

use anyhow::Result;

use crate::config::{Config, EventFilters};
use crate::events::life;
use crate::session;

/// Traces until the end; returns the exit status.
pub fn run(config: Config, min_duration: Option<Duration>) -> Result<u8> {
    let config = Config {
        event_filters: EventFilters { min_duration, list_open: true, ..config.event_filters },
        ..config
    };
    session::run(&config, &[&life::EVENT_TYPE])
}
