//! The counters of a replay: what the recordings counted, and what became of their records here.

use super::input::Input;
use super::limits::Outcome;
use crate::accounting::{Counts, Evicted};
use crate::events::{EVENT_TYPES, EventType};
use crate::pipeline::KernelCounts;

/// Records by what became of them before the pipeline, by number of the event type.
pub(super) struct Counters {
    event_types: Vec<&'static EventType>,
    passed: Vec<u64>,
    sampled_out: Vec<u64>,
    rate_limited: Vec<u64>,
}

impl Counters {
    pub(super) fn new(event_types: &[&'static EventType]) -> Self {
        let zeros = vec![0; EVENT_TYPES.len()];
        Counters {
            event_types: event_types.to_vec(),
            passed: zeros.clone(),
            sampled_out: zeros.clone(),
            rate_limited: zeros,
        }
    }

    pub(super) fn pass(&mut self, record: &[u8]) {
        let number = record.get(52).copied().unwrap_or_default();
        self.passed.get_mut(usize::from(number)).into_iter().for_each(|count| *count += 1);
    }

    pub(super) fn limit(&mut self, event_type: &EventType, outcome: Outcome) {
        let number = usize::from(event_type.number);
        match outcome {
            Outcome::SampledOut => self.sampled_out[number] += 1,
            Outcome::RateLimited => self.rate_limited[number] += 1,
            Outcome::Passes => {}
        }
    }

    /// As the programs would count them. `partial`: only what was read so far counts.
    pub(super) fn kernel(
        &self,
        inputs: &[Input],
        partial: bool,
    ) -> Vec<(&'static EventType, KernelCounts)> {
        let of = |event_type: &&'static EventType| {
            let number = usize::from(event_type.number);
            let mut sum = KernelCounts::default();
            for input in inputs {
                let counts = if partial {
                    // One record of each file waits for its turn.
                    let lost = if input.is_limited() { input.lost(event_type) } else { 0 };
                    let seen = input.filtered[number] + lost;
                    KernelCounts { seen, lost, ..KernelCounts::default() }
                } else {
                    recorded(input, event_type)
                };
                add(&mut sum, counts);
                sum.filtered += input.filtered[number];
            }
            let limited = self.sampled_out[number] + self.rate_limited[number];
            if partial {
                sum.seen += self.passed[number] + limited;
            }
            sum.sampled_out += self.sampled_out[number];
            sum.rate_limited += self.rate_limited[number];
            sum.submitted = self.passed[number];
            (*event_type, sum)
        };
        self.event_types.iter().map(of).collect()
    }
}

fn add(sum: &mut KernelCounts, counts: KernelCounts) {
    sum.seen += counts.seen;
    sum.skipped += counts.skipped;
    sum.filtered += counts.filtered;
    sum.unmatched += counts.unmatched;
    sum.undecided += counts.undecided;
    sum.sampled_out += counts.sampled_out;
    sum.rate_limited += counts.rate_limited;
    sum.lost += counts.lost;
}

/// What a recording says of an event type: every event that was seen is a record in it, or has another counter.
fn recorded(input: &Input, event_type: &EventType) -> KernelCounts {
    let recording = &input.recording;
    let read = recording.read[usize::from(event_type.number)];
    let accounting = recording.accounting.clone().unwrap_or_default();
    let base: Counts = accounting.event_types.get(event_type.name).copied().unwrap_or_default();
    let of = |written: &std::collections::BTreeMap<String, u64>| {
        written.get(event_type.name).copied().unwrap_or_default()
    };
    // Records after the last counters are in no counter.
    let counted = of(&accounting.written);
    let written = recording.end.as_ref().map_or(counted, |end| of(&end.written)).max(counted);
    let later = written.max(read) - counted;
    let missing =
        base.emitted.saturating_sub(counted) + base.malformed + written.saturating_sub(read);
    let known = base.recursion_misses + base.lost_undecided;
    let by_where = base.where_kernel + base.where_user;
    KernelCounts {
        seen: (base.seen + later).saturating_sub(base.recursion_misses),
        skipped: base.recursion_misses,
        filtered: base.filtered.saturating_sub(by_where),
        unmatched: by_where,
        undecided: base.lost_undecided,
        sampled_out: base.sampled_out,
        rate_limited: base.rate_limited,
        lost: base.lost.saturating_sub(known) + missing,
        ..KernelCounts::default()
    }
}

/// Of all recordings together.
pub(super) fn late_and_evicted(inputs: &[Input]) -> (u64, Evicted) {
    let (mut late, mut all) = (0, Evicted::default());
    for accounting in inputs.iter().filter_map(|input| input.recording.accounting.as_ref()) {
        late += accounting.late;
        all.add(&accounting.evicted);
    }
    (late, all)
}
