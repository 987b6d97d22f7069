//! Event counters and aggregates, read from BPF maps.

pub mod cong;
pub mod connlat;
pub mod counted;
pub mod cumulative;
pub mod evictions;
pub mod histograms;
pub mod key;
pub mod limits;
pub mod listeners;
pub mod observe;
pub mod recorded;
pub mod retrans;
pub mod rtt;
pub mod sums;
pub mod top;
pub mod totals;

use anyhow::{Context, Result, bail};
use libbpf_rs::{MapCore, MapFlags};

use self::histograms::HistogramTable;
use self::limits::LimitsTable;
use self::listeners::ListenerTable;
use self::observe::Observed;
use self::sums::SumTable;
use self::top::ConnectionTable;
use self::totals::Intervals;
use crate::config::summary::{RowOptions, SummaryOptions};
use crate::events::tcp_probe::copy;
use crate::events::{EventType, Types};
use crate::loader::Loaded;
use crate::pipeline::KernelCounts;
use crate::skel::{Cpu, TccTraceSkel};
use crate::table::Moment;
use crate::table::summary::{AggregateSource, AggregateType, Summary};

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
    // Of the unmatched, those that were kept for --trigger, and have become records since.
    let mut kept = 0;
    for cpu in cpus {
        // The fallback of `probe` counts in a row of its own, the last one.
        let fallback = cpu.counters.last().filter(|_| event_type.is_probe());
        for n in cpu.counters.get(number).into_iter().chain(fallback) {
            sum.seen += n.seen;
            sum.filtered += n.filtered;
            sum.undecided += n.undecided;
            sum.unread += n.unread;
            sum.counted += n.counted;
            sum.aggregated += n.aggregated;
            sum.overflow += n.overflow;
            sum.gated += n.gated;
            sum.sampled_out += n.sampled_out;
            sum.rate_limited += n.rate_limited;
            sum.unmatched += n.unmatched;
            sum.lost += n.lost;
            sum.submitted += n.submitted + n.kept_submitted;
            sum.lost += n.kept_lost;
            kept += n.kept_submitted + n.kept_lost;
        }
    }
    sum.unmatched = sum.unmatched.saturating_sub(kept);
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

    /// Number of events in the last totals, those of removed rows included; must equal it, too.
    fn events_counted(&self) -> u64;
}

/// Every aggregate.
pub static AGGREGATES: &[&AggregateType] = &[
    &retrans::AGGREGATE,
    &cong::AGGREGATE,
    &rtt::AGGREGATE,
    &connlat::AGGREGATE,
    &top::AGGREGATE,
    &listeners::AGGREGATE,
    &limits::AGGREGATE,
    &observe::AGGREGATE,
];

/// Creates the aggregate of a command. Options that are not of its source do not occur.
pub fn aggregate(summary: &SummaryOptions, types: &Types) -> Result<Box<dyn Aggregate>> {
    let (of, intervals) = (summary.aggregate, summary.interval.is_some());
    Ok(match (&of.source, &summary.rows) {
        (AggregateSource::Histograms, RowOptions::Histograms(options)) => {
            Box::new(Intervals::new(HistogramTable::new(of, options), intervals))
        }
        (AggregateSource::Sums(layout), RowOptions::Sums(options)) => {
            Box::new(Intervals::new(SumTable::new(of, layout, options), intervals))
        }
        (AggregateSource::Connections, RowOptions::Connections(options)) => {
            Box::new(Intervals::new(ConnectionTable::new(options), intervals))
        }
        (AggregateSource::Listeners, RowOptions::Listeners(options)) => {
            Box::new(Intervals::new(ListenerTable::new(options), intervals))
        }
        (AggregateSource::Limits, RowOptions::Limits(options)) => {
            Box::new(Intervals::new(LimitsTable::new(options), intervals))
        }
        (AggregateSource::Observe, RowOptions::Observe(options)) => {
            Box::new(Observed::new(options, intervals, types))
        }
        (_, options) => bail!("{}: {options:?} are not its options", of.command),
    })
}
