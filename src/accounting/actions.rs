//! Counters of one event type for each action that it has. All events that were seen are in each of them.

use serde::{Deserialize, Serialize};

documented! {
/// Counters of the events that were to be printed. `seen` is counted apart from the others, so that the sum is a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Events at the hook: the sum of `emitted`, `filtered`, `sampled_out`, `rate_limited`, `lost` and `malformed`.
    pub seen: u64,
    /// Events printed completely.
    pub emitted: u64,
    /// Events rejected by a filter or by `--where`.
    pub filtered: u64,
    /// Events left out by `--sample`, `--every` or `--on-change`.
    pub sampled_out: u64,
    /// Events left out by `--rate`, `--rate-per-conn` or `--count`.
    pub rate_limited: u64,
    /// Events lost: the buffer was full, the kernel skipped the program, or the output could not be written.
    pub lost: u64,
    /// Records received that are not valid.
    pub malformed: u64,
    /// Part of `lost`: the kernel skipped the program because it interrupted its own run on that CPU. A larger buffer does
    /// not help.
    pub recursion_misses: u64,
    /// Part of `lost`: a filter needs the owner, which was evicted. Raise `--max-conns`.
    pub lost_undecided: u64,
    /// Part of `filtered`: rejected by `--where` in the kernel.
    pub where_kernel: u64,
    /// Part of `filtered`: rejected by `--where` in user space, where they cost as much as other events.
    pub where_user: u64,
}
}

combined!(Counts: seen, emitted, filtered, sampled_out, rate_limited, lost, malformed, recursion_misses, lost_undecided,
    where_kernel, where_user);

documented! {
/// Counters of the events that a summary is made from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AggregateCounts {
    /// Events at the hook: the sum of `aggregated`, `overflow`, `filtered` and `lost`.
    pub seen: u64,
    /// Events counted in the row of their key.
    pub aggregated: u64,
    /// Events whose key found no row: counted in the row of all those keys. Raise `--max-rows`.
    pub overflow: u64,
    /// Events rejected by a filter.
    pub filtered: u64,
    /// Events lost: the kernel skipped the program, or could not pass the event on.
    pub lost: u64,
    /// Part of `lost`: the kernel skipped the program because it interrupted its own run on that CPU.
    pub recursion_misses: u64,
    /// Part of `lost`: a filter needs the owner, which was evicted. Raise `--max-conns`.
    pub lost_undecided: u64,
}
}

combined!(AggregateCounts: seen, aggregated, overflow, filtered, lost, recursion_misses, lost_undecided);

documented! {
/// Counters of the events that were only counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CountCounts {
    /// Events at the hook: the sum of `counted`, `filtered` and `lost`.
    pub seen: u64,
    /// Events that match the filters.
    pub counted: u64,
    /// Events rejected by a filter.
    pub filtered: u64,
    /// Events lost: the kernel skipped the program.
    pub lost: u64,
    /// Part of `lost`: the kernel skipped the program because it interrupted its own run on that CPU.
    pub recursion_misses: u64,
    /// Part of `lost`: a filter needs the owner, which was evicted. Raise `--max-conns`.
    pub lost_undecided: u64,
}
}

/// The counters of an action, of one event type or of several.
pub trait ActionCounts: Copy + Default {
    fn seen(&self) -> u64;

    /// What became of the events, whose sum `seen` must equal; with the names that people read.
    fn parts(&self) -> Vec<(&'static str, u64)>;

    /// Of `lost`: recursion misses, and undecided ones.
    fn lost_parts(&self) -> (u64, u64);

    /// Of `filtered`: what --where rejected in the kernel, and in user space.
    fn where_parts(&self) -> (u64, u64) {
        (0, 0)
    }

    fn add(&mut self, other: &Self);

    /// The sum that `seen` must equal.
    #[must_use]
    fn accounted(&self) -> u64 {
        self.parts().iter().map(|(_, count)| count).sum()
    }

    #[must_use]
    fn lost(&self) -> u64 {
        self.parts().iter().find(|(name, _)| *name == LOST).map_or(0, |(_, count)| *count)
    }

    /// `retransmit: 12 seen = 10 emitted + 2 lost`. Counters that are zero are left out, except the first one and `lost`.
    #[must_use]
    fn line(&self, event_type: &str) -> String {
        let mut text = format!("{event_type}: {} seen", self.seen());
        let parts = self.parts();
        let shown = parts.iter().enumerate();
        let shown = shown.filter(|(i, (name, count))| *count > 0 || *i == 0 || *name == LOST);
        for (i, (name, count)) in shown {
            text += &format!("{}{count} {name}", if i == 0 { " = " } else { " + " });
        }
        let (in_kernel, in_user_space) = self.where_parts();
        if in_kernel + in_user_space > 0 {
            text += &format!(
                "; --where rejected {in_kernel} in the kernel and {in_user_space} in user space"
            );
        }
        let (recursion_misses, _) = self.lost_parts();
        if recursion_misses > 0 {
            text += &format!(
                "; {recursion_misses} of the lost are recursion misses (the kernel skipped a nested run)"
            );
        }
        text
    }
}

const LOST: &str = "lost";

impl ActionCounts for Counts {
    fn seen(&self) -> u64 {
        self.seen
    }

    fn parts(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("emitted", self.emitted),
            ("filtered", self.filtered),
            ("sampled out", self.sampled_out),
            ("rate limited", self.rate_limited),
            (LOST, self.lost),
            ("malformed", self.malformed),
        ]
    }

    fn lost_parts(&self) -> (u64, u64) {
        (self.recursion_misses, self.lost_undecided)
    }

    fn where_parts(&self) -> (u64, u64) {
        (self.where_kernel, self.where_user)
    }

    fn add(&mut self, other: &Self) {
        *self = self.combine(other, u64::saturating_add);
    }
}

impl ActionCounts for AggregateCounts {
    fn seen(&self) -> u64 {
        self.seen
    }

    fn parts(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("aggregated", self.aggregated),
            ("overflow", self.overflow),
            ("filtered", self.filtered),
            (LOST, self.lost),
        ]
    }

    fn lost_parts(&self) -> (u64, u64) {
        (self.recursion_misses, self.lost_undecided)
    }

    fn add(&mut self, other: &Self) {
        *self = self.combine(other, u64::saturating_add);
    }
}

impl ActionCounts for CountCounts {
    fn seen(&self) -> u64 {
        self.seen
    }

    fn parts(&self) -> Vec<(&'static str, u64)> {
        vec![("counted", self.counted), ("filtered", self.filtered), (LOST, self.lost)]
    }

    fn lost_parts(&self) -> (u64, u64) {
        (self.recursion_misses, self.lost_undecided)
    }

    fn add(&mut self, other: &Self) {
        self.seen += other.seen;
        self.counted += other.counted;
        self.filtered += other.filtered;
        self.lost += other.lost;
        self.recursion_misses += other.recursion_misses;
        self.lost_undecided += other.lost_undecided;
    }
}

/// The sum over all event types.
#[must_use]
pub fn total<C: ActionCounts>(event_types: &[(&'static str, C)]) -> C {
    let mut total = C::default();
    for (_, counts) in event_types {
        total.add(counts);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_adds_up_and_leaves_out_zeros() {
        let counts = Counts { seen: 10, emitted: 7, filtered: 3, ..Counts::default() };
        assert_eq!(counts.line("probe"), "probe: 10 seen = 7 emitted + 3 filtered + 0 lost");
        assert_eq!(counts.seen, counts.accounted());
        let counts = Counts { seen: 5, filtered: 5, where_kernel: 3, ..Counts::default() };
        assert_eq!(
            counts.line("probe"),
            "probe: 5 seen = 0 emitted + 5 filtered + 0 lost; --where rejected 3 in the kernel and 0 in user space"
        );
        let counts =
            Counts { seen: 2, emitted: 1, lost: 1, recursion_misses: 1, ..Counts::default() };
        assert!(counts.line("probe").starts_with("probe: 2 seen = 1 emitted + 1 lost; 1 of the"));
        assert_eq!(counts.seen, counts.accounted());
    }

    #[test]
    fn each_action_has_its_own_sum() {
        let aggregate =
            AggregateCounts { seen: 9, aggregated: 4, overflow: 5, ..AggregateCounts::default() };
        assert_eq!(aggregate.line("probe"), "probe: 9 seen = 4 aggregated + 5 overflow + 0 lost");
        let count = CountCounts { seen: 3, filtered: 2, lost: 1, ..CountCounts::default() };
        assert_eq!(count.line("drop"), "drop: 3 seen = 0 counted + 2 filtered + 1 lost");
        assert_eq!((aggregate.accounted(), count.accounted(), count.lost()), (9, 3, 1));
    }
}
