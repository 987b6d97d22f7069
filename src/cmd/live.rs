//! `live`: connections on the terminal.

use anyhow::Result;

use crate::live::{self, Options};

/// Shows them until the end; returns the exit status.
pub fn run(options: &Options) -> Result<u8> {
    live::run(options)
}
