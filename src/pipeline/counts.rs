//! The counters that make up the accounting of an event type: the kernel's, and the pipeline's.

use crate::accounting::Counts;
use crate::sink::Stage;

/// The user-side counters of one event type.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) emitted: u64,
    pub(super) over_count: u64,
    pub(super) malformed: u64,
    pub(super) aggregated: u64,
}

/// The kernel-side counters of one event type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelCounts {
    pub seen: u64,
    pub filtered: u64,
    pub sampled_out: u64,
    pub rate_limited: u64,
    pub lost: u64,
    pub submitted: u64,
    pub aggregated: u64,
    /// Not seen by any program: the kernel skipped it.
    pub skipped: u64,
    /// A filter could not decide, as the owner is unknown.
    pub undecided: u64,
}

impl KernelCounts {
    /// Events that a program is still processing: seen, but not in any other counter yet.
    #[must_use]
    pub fn running(&self) -> u64 {
        let out = self.filtered + self.sampled_out + self.rate_limited + self.lost + self.undecided;
        let done = out + self.submitted + self.aggregated;
        self.seen.saturating_sub(done)
    }
}

impl Tally {
    pub(super) fn counts(self, stage: Stage, kernel: KernelCounts) -> Counts {
        let ours = self.emitted + self.over_count + self.malformed + self.aggregated;
        let missing = kernel.submitted.saturating_sub(ours);
        let in_transit = if stage == Stage::End { 0 } else { missing };
        let running = if stage == Stage::End { 0 } else { kernel.running() };
        Counts {
            seen: (kernel.seen + kernel.skipped).saturating_sub(in_transit + running),
            emitted: self.emitted,
            aggregated: kernel.aggregated + self.aggregated,
            filtered: kernel.filtered,
            sampled_out: kernel.sampled_out,
            rate_limited: kernel.rate_limited + self.over_count,
            lost: kernel.lost + kernel.skipped + kernel.undecided + (missing - in_transit),
            malformed: self.malformed,
            recursion_misses: kernel.skipped,
            lost_undecided: kernel.undecided,
        }
    }
}
