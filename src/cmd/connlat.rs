//! `connlat`: how long opening took, on either side; each, or how often how long, counted.

use std::time::Duration;

use anyhow::Result;

use crate::cli::Side;
use crate::config::summary::{Field, Summarise, What};
use crate::config::{Config, Only};
use crate::kernel::Kernel;
use crate::probe::{Kind, accept, connect};
use crate::session;

/// Traces until the end; the exit status.
pub fn run(config: Config, side: Side, least: Option<Duration>) -> Result<u8> {
    let mut config = Config { only: Only { least, ..config.only }, ..config };
    let kinds = kinds(&config, side);
    if let Some(Summarise { what: What::Connlat(histograms), .. }) = &mut config.summarise {
        histograms.fields = kinds.iter().flat_map(|kind| fields(kind)).copied().collect();
    }
    session::run(&config, &kinds)
}

/// What is counted of that kind.
fn fields(kind: &Kind) -> &'static [Field] {
    if kind.number == accept::KIND.number {
        &[Field::Handshake, Field::Wait]
    } else {
        &[Field::Latency, Field::Failed]
    }
}

/// The server's side is left out, and said, where it cannot be had and was not asked for alone.
fn kinds(config: &Config, side: Side) -> Vec<&'static Kind> {
    match side {
        Side::Client => return vec![&connect::KIND],
        Side::Server => return vec![&accept::KIND],
        Side::Both => {}
    }
    match Kernel::new(config.tap.btf.as_deref()).lacks(&accept::KIND) {
        None => vec![&connect::KIND, &accept::KIND],
        Some(why) => {
            if !config.output.quiet {
                session::output::tell(&format!("note: the server's side is left out: {why}"));
            }
            vec![&connect::KIND]
        }
    }
}
