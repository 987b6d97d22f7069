//! `drop`: TCP packets dropped by the kernel.

use anyhow::Result;

use crate::config::Config;
use crate::events::drop;
use crate::session;

/// Traces until the end; returns the exit status.
pub fn run(mut config: Config, stack: bool) -> Result<u8> {
    config.output.stack = stack;
    session::run(&config, &[&drop::EVENT_TYPE])
}
