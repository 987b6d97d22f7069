//! `queue`: how long packets wait between TCP and the driver.

use std::time::Duration;

use anyhow::Result;

use crate::config::{Config, Only};
use crate::probe::queue;
use crate::session;

/// Traces until the end; the exit status.
pub fn run(config: Config, least: Option<Duration>) -> Result<u8> {
    let config = Config { only: Only { least, ..config.only }, ..config };
    session::run(&config, &[&queue::KIND])
}
