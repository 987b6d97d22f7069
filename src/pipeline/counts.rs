//! The counters that make up the accounting of an event type: the kernel's, and the pipeline's.

use crate::accounting::{AggregateCounts, CountCounts, Counts};
use crate::config::Actions;
use crate::sink::Stage;

/// The user-side counters of one event type.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) emitted: u64,
    pub(super) over_count: u64,
    pub(super) malformed: u64,
    pub(super) aggregated: u64,
    /// By --where.
    pub(super) unmatched: u64,
}

/// The kernel-side counters of one event type: see `struct tcc_counters`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelCounts {
    pub seen: u64,
    pub filtered: u64,
    /// A filter could not decide, as the owner is unknown.
    pub undecided: u64,
    pub unread: u64,
    pub counted: u64,
    pub aggregated: u64,
    pub overflow: u64,
    pub gated: u64,
    pub sampled_out: u64,
    pub rate_limited: u64,
    /// By --where.
    pub unmatched: u64,
    pub lost: u64,
    pub submitted: u64,
    /// Not seen by any program: the kernel skipped it.
    pub skipped: u64,
}

impl KernelCounts {
    /// Events that a program is still processing: seen, and not yet counted by each of these actions.
    #[must_use]
    pub fn running(&self, actions: Actions) -> u64 {
        let record = self.recorded();
        let aggregate = self.aggregated + self.overflow;
        [
            actions.count.then(|| self.left(self.counted)),
            actions.aggregate.then(|| self.left(aggregate)),
            actions.record.then(|| self.left(record)),
        ]
        .into_iter()
        .flatten()
        .max()
        .unwrap_or(0)
    }

    /// What became of the events to be recorded.
    fn recorded(&self) -> u64 {
        self.gated
            + self.sampled_out
            + self.rate_limited
            + self.unmatched
            + self.lost
            + self.submitted
    }

    /// What is left of the events that were seen if an action has counted that many.
    fn left(&self, done: u64) -> u64 {
        self.seen.saturating_sub(self.filtered + self.undecided + self.unread + done)
    }

    /// Those that an action has counted, or never gets.
    fn settled(&self, stage: Stage, done: u64) -> u64 {
        let running = if stage == Stage::End { 0 } else { self.left(done) };
        (self.seen + self.skipped).saturating_sub(running)
    }

    /// Lost to all actions.
    fn lost_to_all(&self) -> u64 {
        self.unread + self.skipped + self.undecided
    }

    pub(super) fn count(self, stage: Stage) -> CountCounts {
        CountCounts {
            seen: self.settled(stage, self.counted),
            counted: self.counted,
            filtered: self.filtered,
            lost: self.lost_to_all(),
            recursion_misses: self.skipped,
            lost_undecided: self.undecided,
        }
    }

    pub(super) fn aggregate(self, stage: Stage) -> AggregateCounts {
        AggregateCounts {
            seen: self.settled(stage, self.aggregated + self.overflow),
            aggregated: self.aggregated,
            overflow: self.overflow,
            filtered: self.filtered,
            lost: self.lost_to_all(),
            recursion_misses: self.skipped,
            lost_undecided: self.undecided,
        }
    }
}

impl Tally {
    pub(super) fn record(self, stage: Stage, kernel: KernelCounts) -> Counts {
        let ours =
            self.emitted + self.over_count + self.malformed + self.aggregated + self.unmatched;
        let missing = kernel.submitted.saturating_sub(ours);
        let in_transit = if stage == Stage::End { 0 } else { missing };
        let KernelCounts { gated, sampled_out, rate_limited, unmatched, lost, .. } = kernel;
        Counts {
            seen: kernel.settled(stage, kernel.recorded()).saturating_sub(in_transit),
            emitted: self.emitted,
            filtered: kernel.filtered + gated + unmatched + self.unmatched,
            sampled_out,
            rate_limited: rate_limited + self.over_count,
            lost: lost + kernel.lost_to_all() + (missing - in_transit),
            malformed: self.malformed,
            recursion_misses: kernel.skipped,
            lost_undecided: kernel.undecided,
            where_kernel: unmatched,
            where_user: self.unmatched,
        }
    }

    /// Of records that are aggregated here.
    pub(super) fn aggregate(self, stage: Stage, kernel: KernelCounts) -> AggregateCounts {
        let record = self.record(stage, kernel);
        AggregateCounts {
            seen: record.seen,
            aggregated: self.aggregated,
            overflow: 0,
            filtered: record.filtered,
            lost: record.sampled_out + record.rate_limited + record.lost + record.malformed,
            recursion_misses: record.recursion_misses,
            lost_undecided: record.lost_undecided,
        }
    }
}
