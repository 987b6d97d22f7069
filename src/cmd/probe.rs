//! `probe`: samples of each connection's congestion control.

use anyhow::Result;

use crate::config::Config;
use crate::events::tcp_probe;
use crate::session;

/// Traces until the end; returns the exit status.
pub fn run(config: &Config) -> Result<u8> {
    session::run(config, &[&tcp_probe::EVENT_TYPE])
}
