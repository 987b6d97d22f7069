//! The commands, one file each.

pub mod accept;
pub mod check;
pub mod cong;
pub mod connect;
pub mod connlat;
pub mod docs;
pub mod drop;
pub mod events;
pub mod life;
pub mod probe;
pub mod queue;
pub mod reset;
pub mod retrans;
pub mod rtt;
pub mod schema;
pub mod states;
pub mod top;

use std::io::{ErrorKind, Write};

use anyhow::Result;

use crate::sink::Stdout;

/// Prints a whole text; a closed pipe is a reader that has seen enough.
pub fn print(bytes: &[u8]) -> Result<()> {
    match Stdout::new().and_then(|mut out| out.write_all(bytes)) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write the output"))
        }
        _ => Ok(()),
    }
}
