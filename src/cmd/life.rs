//! `life`: connections as they end, and those that are open at the start.

use std::time::Duration;

use anyhow::Result;

use crate::config::{Config, Only};
use crate::probe::life;
use crate::session;

/// Traces until the end; the exit status.
pub fn run(config: Config, least: Option<Duration>) -> Result<u8> {
    let config = Config { only: Only { least, list_open: true, ..config.only }, ..config };
    session::run(&config, &[&life::KIND])
}
