//! From BPF maps to numbers: what became of the events, and what was counted of them.

pub mod cong;
pub mod connlat;
pub mod counted;
pub mod histograms;
pub mod key;
pub mod listeners;
pub mod memories;
pub mod retrans;
pub mod rtt;
pub mod sums;
pub mod top;

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags};

use self::histograms::Distributions;
use crate::config::summary::{Summarise, What};
use crate::loader::Loaded;
use crate::pipeline::KernelCounts;
use crate::probe::Kind;
use crate::probe::tcp_probe::copy;
use crate::skel::{Counters, TccTraceSkel};
use crate::table::Moment;
use crate::table::summary::Summary;

/// The counters of a kind, over all CPUs.
pub fn counters(skel: &TccTraceSkel<'_>, kind: &Kind) -> Result<KernelCounts> {
    let key = u32::from(kind.number).to_ne_bytes();
    let cpus = skel
        .maps
        .counters
        .lookup_percpu(&key, MapFlags::ANY)
        .context("cannot read the counters")?;
    let mut sum = KernelCounts::default();
    for n in cpus.unwrap_or_default().iter().filter_map(|bytes| copy::<Counters>(bytes)) {
        sum.seen += n.seen;
        sum.filtered += n.filtered;
        sum.sampled_out += n.sampled_out;
        sum.limited += n.limited;
        sum.lost += n.lost;
        sum.submitted += n.submitted;
        sum.summarised += n.summarised;
        sum.caught += n.caught;
        sum.undecided += n.undecided;
    }
    Ok(sum)
}

/// From the last reading to this one.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub time: Moment,
    pub interval_ns: u64,
}

/// What a command counts.
pub trait Reading {
    /// Before the first interval, with the programs at work.
    fn begin(&mut self, _: &Loaded<'_>) -> Result<()> {
        Ok(())
    }

    /// At the end of an interval, with the programs at work: what there is now. Records that came before are taken first,
    /// those that came meanwhile afterwards.
    fn look(&mut self, _: &Loaded<'_>) -> Result<()> {
        Ok(())
    }

    /// A record for it; false: it makes no sense.
    fn record(&mut self, _: &[u8]) -> bool {
        false
    }

    /// Hands what came since the last time to `print`.
    fn print(
        &mut self,
        loaded: &Loaded<'_>,
        span: Span,
        print: &mut dyn FnMut(&Summary<'_>),
    ) -> Result<()>;

    /// Events in what was printed so far, which must be those that were summarised.
    fn told(&self) -> u64;
}

/// The command's.
#[must_use]
pub fn reading(summarise: &Summarise) -> Box<dyn Reading> {
    let intervals = summarise.interval.is_some();
    match &summarise.what {
        What::Rtt(options) => {
            Box::new(Distributions::new("rtt", &rtt::COLUMNS, options, intervals))
        }
        What::Connlat(options) => {
            Box::new(Distributions::new("connlat", &connlat::COLUMNS, options, intervals))
        }
        What::Retrans(sums) => Box::new(retrans::Retransmissions::new(sums, intervals)),
        What::Cong(sums) => Box::new(cong::Dwellings::new(sums, intervals)),
        What::Top(top) => Box::new(top::Connections::new(top)),
        What::Listeners(options) => Box::new(listeners::Sockets::new(options)),
    }
}
