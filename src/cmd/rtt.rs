//! `rtt`: histograms of round-trip times, counted in the kernel.

use anyhow::Result;

use crate::config::Config;
use crate::events::tcp_probe;
use crate::session;

/// Counts until the end; returns the exit status.
pub fn run(config: &Config) -> Result<u8> {
    session::run(config, &[&tcp_probe::EVENT_TYPE])
}
