//! The commands, one file each.

pub mod accept;
pub mod assert;
pub mod check;
mod check_where;
pub mod cong;
pub mod connect;
pub mod connlat;
pub mod convert;
pub mod docs;
pub mod drop;
pub mod events;
pub mod export;
pub mod info;
pub mod life;
pub mod limits;
pub mod listeners;
pub mod live;
pub mod man;
pub mod observe;
pub mod probe;
pub mod queue;
pub mod record;
pub mod reference;
pub mod report;
pub mod reset;
pub mod retrans;
pub mod rtt;
pub mod schema;
pub mod snap;
pub mod states;
pub mod top;

use std::io::{ErrorKind, IsTerminal, Write};

use anyhow::Result;
use clap::builder::StyledStr;

use crate::stdio::Writer;

/// Prints help or the version; in bold on a terminal, as clap does.
pub fn print_help(text: &StyledStr) -> Result<()> {
    let bold = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let text = if bold { text.ansi().to_string() } else { text.to_string() };
    print(text.as_bytes())
}

/// Prints a text; a closed pipe is not an error.
pub fn print(bytes: &[u8]) -> Result<()> {
    match Writer::stdout().and_then(|mut out| out.write_all(bytes)) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write the output"))
        }
        _ => Ok(()),
    }
}
