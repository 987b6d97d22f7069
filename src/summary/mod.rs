//! Event counters and aggregates, read from BPF maps.

pub mod cong;
pub mod connlat;
pub mod counted;
pub mod evictions;
pub mod histograms;
pub mod key;
pub mod listeners;
pub mod retrans;
pub mod rtt;
pub mod sums;
pub mod top;

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags};

use self::histograms::Distributions;
use crate::config::summary::{SummaryCommand, SummaryOptions};
use crate::events::EventType;
use crate::events::tcp_probe::copy;
use crate::loader::Loaded;
use crate::pipeline::KernelCounts;
use crate::skel::{Cpu, TccTraceSkel};
use crate::table::Moment;
use crate::table::summary::Summary;

/// What the programs have counted, on each CPU.
pub fn cpus(skel: &TccTraceSkel<'_>) -> Result<Vec<Cpu>> {
    let cpus = skel.maps.cpus.lookup_percpu(&0_u32.to_ne_bytes(), MapFlags::ANY);
    let cpus = cpus.context("cannot read the counters")?.unwrap_or_default();
    Ok(cpus.iter().filter_map(|bytes| copy(bytes)).collect())
}

/// The counters of an event type, over all CPUs.
#[must_use]
pub fn counters(cpus: &[Cpu], event_type: &EventType) -> KernelCounts {
    let number = usize::from(event_type.number);
    let mut sum = KernelCounts::default();
    for cpu in cpus {
        // The fallback of `probe` counts in a row of its own, the last one.
        let fallback = cpu.counters.last().filter(|_| event_type.is_probe());
        for n in cpu.counters.get(number).into_iter().chain(fallback) {
            sum.seen += n.seen;
            sum.filtered += n.filtered;
            sum.sampled_out += n.sampled_out;
            sum.rate_limited += n.rate_limited;
            sum.lost += n.lost;
            sum.submitted += n.submitted;
            sum.aggregated += n.aggregated;
            sum.undecided += n.undecided;
        }
    }
    sum
}

/// The interval from the last summary to this one.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub time: Moment,
    pub interval_ns: u64,
}

/// Aggregates of a command.
pub trait Aggregate {
    /// Called before the first interval, with the programs attached.
    fn begin(&mut self, _: &Loaded<'_>) -> Result<()> {
        Ok(())
    }

    /// Called at the end of an interval, with the programs attached: takes a snapshot. Earlier records have been passed to
    /// `record` by then, those that arrive meanwhile are passed later.
    fn poll(&mut self, _: &Loaded<'_>) -> Result<()> {
        Ok(())
    }

    /// Takes a record; false if it is malformed.
    fn record(&mut self, _: &[u8]) -> bool {
        false
    }

    /// Passes the aggregates since the last call to `print`.
    fn print(
        &mut self,
        loaded: &Loaded<'_>,
        span: Span,
        print: &mut dyn FnMut(&Summary<'_>),
    ) -> Result<()>;

    /// Number of events in the summaries so far, which must equal the number of aggregated events.
    fn events_reported(&self) -> u64;
}

/// Creates the aggregates of a command.
#[must_use]
pub fn aggregate(summary: &SummaryOptions) -> Box<dyn Aggregate> {
    let intervals = summary.interval.is_some();
    match &summary.what {
        SummaryCommand::Rtt(options) => {
            Box::new(Distributions::new("rtt", &rtt::COLUMNS, options, intervals))
        }
        SummaryCommand::Connlat(options) => {
            Box::new(Distributions::new("connlat", &connlat::COLUMNS, options, intervals))
        }
        SummaryCommand::Retrans(sums) => Box::new(retrans::Retransmissions::new(sums, intervals)),
        SummaryCommand::Cong(sums) => Box::new(cong::CaStateTimes::new(sums, intervals)),
        SummaryCommand::Top(top) => Box::new(top::Connections::new(top)),
        SummaryCommand::Listeners(options) => Box::new(listeners::Sockets::new(options)),
    }
}
