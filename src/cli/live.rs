//! Options of `live`.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::args::{FilterArgs, KernelArgs};
use super::{parse, resolve};
use crate::live::Options;
use crate::live::rows::{Column, Sort};

#[derive(Args, Debug)]
pub struct LiveArgs {
    /// Time between two readings of all connections.
    #[arg(short, long, value_name = "TIME", value_parser = parse::duration, default_value = "1s")]
    pub interval: Duration,
    /// Sort key at the start.
    #[arg(long, value_enum, default_value_t = LiveSort::All)]
    pub sort: LiveSort,
    /// Print no counters at the end.
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub filters: FilterArgs,
    #[command(flatten)]
    pub kernel_options: KernelArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LiveSort {
    /// Traffic in both directions.
    All,
    /// Traffic sent and acknowledged.
    Tx,
    /// Traffic received.
    Rx,
    /// Congestion window.
    Cwnd,
    /// Smoothed RTT.
    Srtt,
    /// Retransmissions.
    Retrans,
    /// Name of the process.
    Process,
    /// Congestion-control algorithm.
    Cc,
}

impl LiveArgs {
    pub fn into_options(self) -> Result<Options> {
        let by = |column| Sort::By(column);
        let sort = match self.sort {
            LiveSort::All => Sort::Traffic,
            LiveSort::Tx => by(Column::Tx),
            LiveSort::Rx => by(Column::Rx),
            LiveSort::Cwnd => by(Column::Cwnd),
            LiveSort::Srtt => by(Column::Srtt),
            LiveSort::Retrans => by(Column::Retrans),
            LiveSort::Process => by(Column::Process),
            LiveSort::Cc => by(Column::Cc),
        };
        resolve::note_unloaded(&self.filters.cc);
        Ok(Options {
            predicate: self.filters.predicate.clone(),
            filters: self.filters.resolve(false)?,
            kernel_options: self.kernel_options.convert(),
            interval: self.interval,
            sort,
            quiet: self.quiet,
        })
    }
}
