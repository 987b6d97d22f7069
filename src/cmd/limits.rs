//! `limits`: where the time of each connection goes.

use anyhow::Result;

use crate::config::Config;
use crate::events::destroy;
use crate::session;

/// Classifies until the end; returns the exit status.
pub fn run(config: &Config) -> Result<u8> {
    session::run(config, &[&destroy::EVENT_TYPE])
}
