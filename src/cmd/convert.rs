//! `convert`: recordings in other formats, or as a recording again.

use anyhow::Result;

use super::events::{check_names, named};
use crate::config::Config;
use crate::events::EVENT_TYPES;
use crate::session;

/// Converts to the end; returns the exit status. Without `names`, all event types.
pub fn run(config: &Config, names: &[String]) -> Result<u8> {
    check_names(names)?;
    let event_types = if names.is_empty() { EVENT_TYPES.iter().collect() } else { named(names) };
    session::run(config, &event_types)
}
