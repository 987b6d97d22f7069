//! `accept`: passive opens, as they are accepted.

use anyhow::Result;

use crate::config::Config;
use crate::events::accept;
use crate::session;

/// Traces until the end; returns the exit status.
pub fn run(config: &Config) -> Result<u8> {
    session::run(config, &[&accept::EVENT_TYPE])
}
