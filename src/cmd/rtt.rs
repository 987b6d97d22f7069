//! `rtt`: how often which round-trip time was seen, counted in the kernel.

use anyhow::Result;

use crate::config::Config;
use crate::events::tcp_probe;
use crate::session;

/// Counts until the end; the exit status.
pub fn run(config: &Config) -> Result<u8> {
    session::run(config, &[&tcp_probe::EVENT_TYPE])
}
