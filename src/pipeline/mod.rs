//! The pipeline from a source's records to output: sort, decode, limit, print.

pub mod clock;
mod counts;
pub mod reorder;
pub mod source;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use anyhow::Result;

use self::clock::{Clock, mono_ns};
pub use self::counts::KernelCounts;
use self::counts::Tally;
use self::reorder::{HOLD_NS, ReorderBuffer};
use self::source::Source;
use crate::accounting::{Accounting, Evicted};
use crate::decode::{self, Event};
use crate::events::ca::Layouts;
use crate::events::{EVENT_TYPES, EventType, Types};
use crate::sink::{Sink, Stage};
use crate::table::summary::Summary;

/// Takes a record in place of the output; false if it is malformed.
pub type Aggregator<'a> = Box<dyn FnMut(&[u8]) -> bool + 'a>;

pub struct Pipeline<'a> {
    pub clock: Clock,
    reorder: Rc<RefCell<ReorderBuffer>>,
    types: Types,
    aggregate: Option<Aggregator<'a>>,
    sink: Box<dyn Sink>,
    /// Events left to print with `--count`.
    left: Option<u64>,
    received: u64,
    tallies: Vec<Tally>,
    /// Events that the sink has not written yet, in order: where in the output each ends, and its event type.
    unwritten: VecDeque<(u64, usize)>,
    error: Option<io::Error>,
}

impl<'a> Pipeline<'a> {
    /// With an `aggregate`, records go there and only summaries are printed.
    #[must_use]
    pub fn new(
        sink: Box<dyn Sink>,
        types: Types,
        clock: Clock,
        count: Option<u64>,
        aggregate: Option<Aggregator<'a>>,
    ) -> Self {
        Pipeline {
            clock,
            reorder: Rc::default(),
            types,
            aggregate,
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

    /// The buffer for a source's records.
    #[must_use]
    pub fn records(&self) -> Rc<RefCell<ReorderBuffer>> {
        Rc::clone(&self.reorder)
    }

    /// Takes the records that have arrived, and passes on those that are due. True: there may be more.
    pub fn consume(&mut self, source: &dyn Source) -> Result<bool> {
        let now = mono_ns();
        self.reorder.borrow_mut().set_now(now);
        let more = source.take()?;
        // Records still in the source are about as old as the newest one taken.
        let newest = if more { self.reorder.borrow().newest_ns().min(now) } else { now };
        self.pass_until(newest.saturating_sub(HOLD_NS));
        Ok(more)
    }

    /// Passes on all records that have arrived.
    pub fn drain(&mut self, source: &dyn Source) -> Result<()> {
        let taken = loop {
            match self.consume(source) {
                Ok(true) => {}
                taken => break taken,
            }
        };
        // Including those from before an error.
        self.pass_until(u64::MAX);
        taken.map(drop)
    }

    fn pass_until(&mut self, until_ns: u64) {
        let reorder = Rc::clone(&self.reorder);
        reorder.borrow_mut().drain_until(until_ns, |bytes| self.pass(bytes));
    }

    /// Whether records are held that were not passed on.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.reorder.borrow().is_empty()
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.received += 1;
        // Records without a valid event type count for the first one.
        let event_type = decode::event_type(bytes).unwrap_or_default();
        let tally = &mut self.tallies[event_type];
        if let Some(aggregate) = &mut self.aggregate {
            if aggregate(bytes) {
                tally.aggregated += 1;
            } else {
                tally.malformed += 1;
            }
            return;
        }
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
        evicted: Evicted,
    ) -> Accounting {
        let event_types = kernel.iter().map(|(event_type, counts)| {
            (event_type.name, self.tallies[usize::from(event_type.number)].counts(stage, *counts))
        });
        let duration_ns = self.clock.elapsed_ns();
        // Aggregated events have no order.
        let late = if self.aggregate.is_none() { self.reorder.borrow().late() } else { 0 };
        Accounting { duration_ns, late, evicted, event_types: event_types.collect() }
    }

    /// Adds the accounting to the output.
    pub fn account(&mut self, stage: Stage, accounting: &Accounting) {
        if self.error.is_some() {
            return;
        }
        let now = self.clock.moment(mono_ns());
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
