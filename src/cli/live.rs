//! Options of `live`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use super::args::{FilterArgs, KernelArgs};
use super::{parse, resolve};
use crate::config::{Point, Read};
use crate::live::Options;
use crate::live::app::SPEEDS;
use crate::live::rows::{Column, Sort};

#[derive(Args, Debug)]
pub struct LiveArgs {
    /// Time between two readings of all connections.
    #[arg(short, long, value_name = "TIME", value_parser = parse::duration, default_value = "1s")]
    pub interval: Duration,
    /// Sort key at the start.
    #[arg(long, value_enum, default_value_t = LiveSort::All)]
    pub sort: LiveSort,
    /// Account for what limits each connection, and show it.
    ///
    /// Costs about what `limits` costs. With -r, it is shown if the samples have the fields for it.
    #[arg(long, conflicts_with = "read")]
    pub limits: bool,
    /// Print no counters at the end; with -r, no notes.
    #[arg(short, long)]
    pub quiet: bool,
    /// Replay this recording instead of tracing; repeatable, for the parts of one.
    ///
    /// Needs no privileges. Filters are as for live connections; one on a field that was not recorded is refused.
    #[arg(short, long, value_name = "FILE")]
    pub read: Vec<PathBuf>,
    /// With -r: the speed at the start, in seconds of the recording per second: 0.1, 10.
    #[arg(long, value_name = "FACTOR", value_parser = speed, default_value_t = 1.0)]
    pub speed: f64,
    /// With -r: leave out events before this time: 10s after the start, 17:05:00, or 2026-11-29T17:05:00Z.
    #[arg(long, value_name = "TIME", value_parser = parse::point)]
    pub since: Option<Point>,
    /// With -r: leave out events from this time on.
    #[arg(long, value_name = "TIME", value_parser = parse::point)]
    pub until: Option<Point>,
    #[command(flatten)]
    pub filters: FilterArgs,
    #[command(flatten)]
    pub kernel_options: KernelArgs,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok().filter(|speed| SPEEDS.contains(speed));
    speed.ok_or_else(|| format!("must be a number from {} to {}", SPEEDS.start(), SPEEDS.end()))
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
    /// What limits it; needs --limits.
    Limit,
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
            LiveSort::Limit => by(Column::Limit),
        };
        if self.sort == LiveSort::Limit && !self.limits && self.read.is_empty() {
            bail!("--sort limit needs --limits");
        }
        let (since, until) = (self.since, self.until);
        let read = Read { files: self.read.clone(), tail: false, since, until };
        if read.is_wanted() {
            self.check_replay()?;
        } else if read.is_limited() || self.speed != 1.0 {
            bail!("--speed, --since and --until need -r FILE");
        } else {
            resolve::note_unloaded(&self.filters.cc);
        }
        Ok(Options {
            predicate: self.filters.predicate.clone(),
            filters: self.filters.resolve(false)?,
            kernel_options: self.kernel_options.convert(),
            interval: self.interval,
            limits: self.limits,
            sort,
            quiet: self.quiet,
            read,
            speed: self.speed,
        })
    }

    /// What only a trace has is refused.
    fn check_replay(&self) -> Result<()> {
        let cgroup = ("--cgroup", !self.filters.cgroup.is_empty());
        let mut options = self.kernel_options.given().into_iter().chain([cgroup]);
        match options.find(|(_, given)| *given) {
            Some((option, _)) => {
                bail!("{option} cannot be used with -r, which reads recorded events")
            }
            None => Ok(()),
        }
    }
}
