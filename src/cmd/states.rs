//! `states`: TCP state changes.

use anyhow::Result;

use crate::config::Config;
use crate::events::state;
use crate::session;

/// Traces until the end; returns the exit status.
pub fn run(config: &Config) -> Result<u8> {
    session::run(config, &[&state::EVENT_TYPE])
}
