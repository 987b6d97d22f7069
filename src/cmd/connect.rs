//! `connect`: active opens and how they ended.

use anyhow::Result;

use crate::config::{Config, Only};
use crate::probe::connect;
use crate::session;

/// Traces until the end; the exit status.
pub fn run(config: Config, failed: bool) -> Result<u8> {
    let config = Config { only: Only { failed, ..config.only }, ..config };
    session::run(&config, &[&connect::KIND])
}
