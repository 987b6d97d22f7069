//! `listeners`: listening sockets, their queues and drops.

use anyhow::Result;

use crate::config::Config;
use crate::events::listen_drop;
use crate::session;

/// Counts until the end; returns the exit status.
pub fn run(config: &Config) -> Result<u8> {
    session::run(config, &[&listen_drop::EVENT_TYPE])
}
