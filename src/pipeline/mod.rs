//! The pipeline from records to output: decode, count, print.

pub mod clock;

use std::collections::VecDeque;
use std::io;

use self::clock::Clock;
use crate::accounting::{Accounting, Counts, Evicted};
use crate::decode::{self, Event};
use crate::events::ca::Layouts;
use crate::events::{EVENT_TYPES, EventType, Types};
use crate::sink::{Sink, Stage};
use crate::table::summary::Summary;

pub struct Pipeline {
    pub clock: Clock,
    types: Types,
    sink: Box<dyn Sink>,
    /// Events left to print with `--count`.
    left: Option<u64>,
    received: u64,
    tallies: Vec<Tally>,
    /// Events that the sink has not written yet, in order: where in the output each ends, and its event type.
    unwritten: VecDeque<(u64, usize)>,
    error: Option<io::Error>,
}

/// The user-side counters of one event type.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    emitted: u64,
    over_count: u64,
    malformed: u64,
    aggregated: u64,
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

impl Pipeline {
    #[must_use]
    pub fn new(sink: Box<dyn Sink>, types: Types, clock: Clock, count: Option<u64>) -> Self {
        Pipeline {
            clock,
            types,
            sink,
            left: count,
            received: 0,
            tallies: vec![Tally::default(); EVENT_TYPES.len()],
            unwritten: VecDeque::new(),
            error: None,
        }
    }

    /// Prints the header.
    pub fn begin(&mut self) {
        let done = self.sink.begin().and_then(|()| self.sink.flush());
        self.record_progress(done);
    }

    /// Takes one record. After an output error, records are only counted.
    pub fn record(&mut self, bytes: &[u8]) {
        self.received += 1;
        // Records without a valid event type count for the first one.
        let event_type = decode::event_type(bytes).unwrap_or_default();
        let tally = &mut self.tallies[event_type];
        if self.left == Some(0) {
            tally.over_count += 1;
            return;
        }
        let clock = &self.clock;
        match Event::decode(bytes, &self.types, |ns| clock.moment(ns)) {
            Err(_) => tally.malformed += 1,
            // Events not fully written count as lost: the difference between submitted and the rest.
            Ok(_) if self.error.is_some() => {}
            Ok(event) => match self.sink.event(&event) {
                Ok(()) => {
                    self.unwritten.push_back((self.sink.progress().made, event_type));
                    self.left = self.left.map(|left| left - 1);
                }
                Err(error) => self.record_progress(Err(error)),
            },
        }
    }

    /// Counts a record that went to an aggregate; `taken` is false if it is malformed.
    pub fn taken(&mut self, bytes: &[u8], taken: bool) {
        self.received += 1;
        let tally = &mut self.tallies[decode::event_type(bytes).unwrap_or_default()];
        if taken {
            tally.aggregated += 1;
        } else {
            tally.malformed += 1;
        }
    }

    /// Prints a summary.
    pub fn summary(&mut self, summary: &Summary<'_>) {
        if self.error.is_none() {
            let done = self.sink.summary(summary).and_then(|()| self.sink.flush());
            self.record_progress(done);
        }
    }

    /// Flushes the output after a batch.
    pub fn flush(&mut self) {
        if self.error.is_none() {
            let done = self.sink.flush();
            self.record_progress(done);
        }
    }

    /// Whether nothing more can or should be printed.
    #[must_use]
    pub fn done(&self) -> bool {
        self.error.is_some() || self.left == Some(0)
    }

    /// Sets new layouts after a module was loaded.
    pub fn set_layouts(&mut self, layouts: Layouts) {
        self.types.layouts = layouts;
    }

    /// Records received so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The error that ended the output.
    #[must_use]
    pub fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    /// Takes the error that ended the output.
    pub fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// The accounting. At the end, records that were submitted but never arrived are lost; before, they are in transit.
    #[must_use]
    pub fn accounting(
        &self,
        stage: Stage,
        kernel: &[(&'static EventType, KernelCounts)],
        late: u64,
        evicted: Evicted,
    ) -> Accounting {
        let event_types = kernel.iter().map(|(event_type, counts)| {
            (event_type.name, self.tallies[usize::from(event_type.number)].counts(stage, *counts))
        });
        let duration_ns = self.clock.elapsed_ns();
        Accounting { duration_ns, late, evicted, event_types: event_types.collect() }
    }

    /// Adds the accounting to the output.
    pub fn account(&mut self, stage: Stage, accounting: &Accounting) {
        if self.error.is_some() {
            return;
        }
        let now = self.clock.moment(clock::mono_ns());
        let done = self.sink.account(stage, now, accounting).and_then(|()| self.sink.flush());
        self.record_progress(done);
    }

    /// Counts the events that the sink has written, and keeps the first error.
    fn record_progress(&mut self, result: io::Result<()>) {
        let written = self.sink.progress().written;
        while let Some(&(end, event_type)) = self.unwritten.front()
            && end <= written
        {
            self.tallies[event_type].emitted += 1;
            self.unwritten.pop_front();
        }
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
    }
}

impl Tally {
    fn counts(self, stage: Stage, kernel: KernelCounts) -> Counts {
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
