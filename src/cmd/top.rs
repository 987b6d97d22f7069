//! `top`: which connections move how much.

use anyhow::Result;

use crate::config::Config;
use crate::events::destroy;
use crate::session;

/// Counts until the end; the exit status.
pub fn run(config: &Config) -> Result<u8> {
    session::run(config, &[&destroy::EVENT_TYPE])
}
