//! From records to output: decode, count, print.

pub mod clock;

use std::collections::VecDeque;
use std::io;

use self::clock::Clock;
use crate::accounting::{Accounting, Counts, Forgotten};
use crate::event::{self, Event};
use crate::probe::ca::Layouts;
use crate::probe::{KINDS, Kind, Types};
use crate::sink::{Sink, Stage};
use crate::table::summary::Summary;

/// What happens to each record.
pub struct Pipeline {
    pub clock: Clock,
    types: Types,
    sink: Box<dyn Sink>,
    /// Events still to print under `--count`.
    left: Option<u64>,
    received: u64,
    tallies: Vec<Tally>,
    /// What the sink has taken and not written, in order: where in the output each event ends, and its kind.
    unwritten: VecDeque<(u64, usize)>,
    error: Option<io::Error>,
}

/// What became of one kind's records here.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    emitted: u64,
    over_count: u64,
    undecodable: u64,
    summarised: u64,
}

/// What the kernel side counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelCounts {
    pub seen: u64,
    pub filtered: u64,
    pub sampled_out: u64,
    pub limited: u64,
    pub lost: u64,
    pub submitted: u64,
    pub summarised: u64,
    /// Of the seen: by the second program, for which the first was skipped.
    pub caught: u64,
    /// Not seen by any program: the kernel did not run it.
    pub skipped: u64,
    /// A filter could not decide, for want of room.
    pub undecided: u64,
}

impl KernelCounts {
    /// Events that a program is still at work on: seen, and not yet in any other book.
    #[must_use]
    pub fn running(&self) -> u64 {
        let out = self.filtered + self.sampled_out + self.limited + self.lost + self.undecided;
        let done = out + self.submitted + self.summarised;
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
            tallies: vec![Tally::default(); KINDS.len()],
            unwritten: VecDeque::new(),
            error: None,
        }
    }

    /// Titles.
    pub fn begin(&mut self) {
        let done = self.sink.begin().and_then(|()| self.sink.flush());
        self.keep(done);
    }

    /// One record. After an output error records are only counted.
    pub fn record(&mut self, bytes: &[u8]) {
        self.received += 1;
        // Bytes of no kind at all stand in the first one's books.
        let kind = event::kind(bytes).unwrap_or_default();
        let tally = &mut self.tallies[kind];
        if self.left == Some(0) {
            tally.over_count += 1;
            return;
        }
        let clock = &self.clock;
        match Event::decode(bytes, &self.types, |ns| clock.moment(ns)) {
            Err(_) => tally.undecodable += 1,
            // What was not written, to its last byte, counts as lost: it is the difference between submitted and the rest.
            Ok(_) if self.error.is_some() => {}
            Ok(event) => match self.sink.event(&event) {
                Ok(()) => {
                    self.unwritten.push_back((self.sink.progress().made, kind));
                    self.left = self.left.map(|left| left - 1);
                }
                Err(error) => self.keep(Err(error)),
            },
        }
    }

    /// One record that a summary has taken, or could not.
    pub fn taken(&mut self, bytes: &[u8], taken: bool) {
        self.received += 1;
        let tally = &mut self.tallies[event::kind(bytes).unwrap_or_default()];
        if taken {
            tally.summarised += 1;
        } else {
            tally.undecodable += 1;
        }
    }

    /// What was counted in a time.
    pub fn summary(&mut self, summary: &Summary<'_>) {
        if self.error.is_none() {
            let done = self.sink.summary(summary).and_then(|()| self.sink.flush());
            self.keep(done);
        }
    }

    /// After a batch.
    pub fn flush(&mut self) {
        if self.error.is_none() {
            let done = self.sink.flush();
            self.keep(done);
        }
    }

    /// Nothing more can or shall be printed.
    #[must_use]
    pub fn done(&self) -> bool {
        self.error.is_some() || self.left == Some(0)
    }

    /// Another algorithm's state has become known.
    pub fn set_layouts(&mut self, layouts: Layouts) {
        self.types.layouts = layouts;
    }

    /// Records that came so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The error that ended the output.
    #[must_use]
    pub fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    /// The same, to keep.
    pub fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// The books. At the end, what was submitted and never came is lost; before, it is on its way.
    #[must_use]
    pub fn accounting(
        &self,
        stage: Stage,
        kernel: &[(&'static Kind, KernelCounts)],
        late: u64,
        forgotten: Forgotten,
    ) -> Accounting {
        let kinds = kernel.iter().map(|(kind, counts)| {
            (kind.name, self.tallies[usize::from(kind.number)].books(stage, *counts))
        });
        let duration_ns = self.clock.elapsed_ns();
        Accounting { duration_ns, late, forgotten, kinds: kinds.collect() }
    }

    /// Puts the books into the stream.
    pub fn account(&mut self, stage: Stage, accounting: &Accounting) {
        if self.error.is_some() {
            return;
        }
        let now = self.clock.moment(clock::mono_ns());
        let done = self.sink.account(stage, now, accounting).and_then(|()| self.sink.flush());
        self.keep(done);
    }

    /// After the sink has written, or could not.
    fn keep(&mut self, result: io::Result<()>) {
        let written = self.sink.progress().written;
        while let Some(&(end, kind)) = self.unwritten.front()
            && end <= written
        {
            self.tallies[kind].emitted += 1;
            self.unwritten.pop_front();
        }
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
    }
}

impl Tally {
    fn books(self, stage: Stage, kernel: KernelCounts) -> Counts {
        let ours = self.emitted + self.over_count + self.undecodable + self.summarised;
        let missing = kernel.submitted.saturating_sub(ours);
        let on_the_way = if stage == Stage::End { 0 } else { missing };
        let running = if stage == Stage::End { 0 } else { kernel.running() };
        Counts {
            seen: (kernel.seen + kernel.skipped).saturating_sub(on_the_way + running),
            emitted: self.emitted,
            summarised: kernel.summarised + self.summarised,
            filtered: kernel.filtered,
            sampled_out: kernel.sampled_out,
            limited: kernel.limited + self.over_count,
            lost: kernel.lost + kernel.skipped + kernel.undecided + (missing - on_the_way),
            undecodable: self.undecodable,
            lost_nested: kernel.skipped,
            lost_undecided: kernel.undecided,
        }
    }
}
