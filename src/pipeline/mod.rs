//! The pipeline from a source's records to the outputs: sort, decode, filter, limit, print.

pub mod clock;
mod counts;
pub mod reorder;
pub mod source;
pub mod tee;

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::Result;

use self::clock::{Clock, mono_ns};
pub use self::counts::KernelCounts;
use self::counts::Tally;
use self::reorder::{HOLD_NS, ReorderBuffer};
use self::source::Source;
use self::tee::{Failure, Tee};
use crate::accounting::{Accounting, Evicted, Notice};
use crate::anonymize::Anonymizer;
use crate::config::Actions;
use crate::decode::{self, Event};
use crate::environment::Environment;
use crate::events::ca::Layouts;
use crate::events::fields::Expander;
use crate::events::{EVENT_TYPES, EventType, Types};
use crate::predicate::Compiled;
use crate::recording::header::AccountingFrame;
use crate::sink::{Note, Stage};
use crate::table::summary::Summary;

/// Takes a record in place of the outputs; false if it is malformed.
pub type Aggregator<'a> = Box<dyn FnMut(&[u8]) -> bool + 'a>;

pub struct Pipeline<'a> {
    pub clock: Clock,
    reorder: Rc<RefCell<ReorderBuffer>>,
    environment: Environment,
    expander: Expander,
    aggregate: Option<Aggregator<'a>>,
    /// What user space decides of --where.
    filter: Option<Compiled>,
    /// What makes a flight recorder seal.
    trigger: Option<Compiled>,
    anonymizer: Option<Anonymizer>,
    tee: Tee,
    /// Events left to print with `--count`.
    left: Option<u64>,
    received: u64,
    tallies: Vec<Tally>,
    /// Changes of the clock that were passed on.
    clock_changes: u64,
}

/// Where records come from: what they are read and printed with.
pub struct Origin {
    pub clock: Clock,
    pub types: Types,
    /// --where
    pub filter: Option<Compiled>,
}

impl<'a> Pipeline<'a> {
    /// With an `aggregate`, records go there and only summaries are printed.
    #[must_use]
    pub fn new(
        tee: Tee,
        environment: Environment,
        clock: Clock,
        count: Option<u64>,
        aggregate: Option<Aggregator<'a>>,
    ) -> Self {
        Pipeline {
            clock,
            reorder: Rc::default(),
            expander: Expander::new(environment.layout.clone()),
            environment,
            aggregate,
            filter: None,
            trigger: None,
            anonymizer: None,
            tee,
            left: count,
            received: 0,
            tallies: vec![Tally::default(); EVENT_TYPES.len()],
            // The first reading is in the environment.
            clock_changes: 1,
        }
    }

    /// Passes on only events that match.
    pub fn set_filter(&mut self, filter: Option<Compiled>) {
        self.filter = filter;
    }

    /// Notes each event that matches, with its original values.
    pub fn set_trigger(&mut self, trigger: Option<Compiled>) {
        self.trigger = trigger;
    }

    /// Anonymizes what is printed and recorded, after the filter. It must know the layout of the records.
    pub fn set_anonymizer(&mut self, anonymizer: Option<Anonymizer>) {
        self.anonymizer = anonymizer;
    }

    /// Prints the headers.
    pub fn begin(&mut self) {
        self.tee.begin();
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

    /// Exchanges what the next records are read with.
    pub fn exchange(&mut self, origin: &mut Origin) {
        std::mem::swap(&mut self.clock, &mut origin.clock);
        std::mem::swap(&mut self.environment.types, &mut origin.types);
        std::mem::swap(&mut self.filter, &mut origin.filter);
        self.clock_changes = self.clock.changes();
    }

    /// Replaces the names and layouts.
    pub fn set_types(&mut self, types: Types) {
        self.environment.types = types;
    }

    /// Passes a record on: decodes, filters and prints it.
    pub fn pass(&mut self, bytes: &[u8]) {
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
        let (clock, raw) = (&self.clock, bytes);
        let bytes = self.expander.expand(bytes);
        let event = Event::decode(bytes, &self.environment.types, |ns| clock.moment(ns));
        if clock.changes() != self.clock_changes {
            self.tee.note(&Note::Clock(&clock.since(self.clock_changes)));
            self.clock_changes = clock.changes();
        }
        match event.map(|event| event.of_raw(raw)) {
            Err(_) => {
                tally.malformed += 1;
                self.tee.malformed();
            }
            Ok(event) if self.filter.as_ref().is_some_and(|filter| !filter.matches(&event)) => {
                tally.unmatched += 1;
            }
            Ok(_) if self.left == Some(0) => tally.over_count += 1,
            // Events not fully written count as lost: the difference between submitted and the rest.
            Ok(event) => {
                let triggers = self.trigger.as_ref().is_some_and(|trigger| trigger.matches(&event));
                let taken = match &mut self.anonymizer {
                    None => self.tee.event(&event),
                    Some(anonymizer) => {
                        let (types, time) = (&self.environment.types, event.time());
                        let raw = anonymizer.copy(raw);
                        let event = Event::decode(self.expander.expand(raw), types, |_| time);
                        event.is_ok_and(|event| self.tee.event(&event.of_raw(raw)))
                    }
                };
                if taken {
                    self.left = self.left.map(|left| left - 1);
                }
                if triggers {
                    self.tee.note(&Note::Trigger);
                }
            }
        }
    }

    /// Prints a summary.
    pub fn summary(&mut self, summary: &Summary<'_>) {
        match &mut self.anonymizer {
            None => self.tee.summary(summary),
            Some(anonymizer) => anonymizer.summary(summary, |hidden| self.tee.summary(hidden)),
        }
    }

    /// Flushes the outputs after a batch.
    pub fn flush(&mut self) {
        self.tee.flush();
        self.count_emitted();
    }

    /// Flushes the outputs after the last event.
    pub fn finish(&mut self) {
        self.tee.finish();
        self.count_emitted();
    }

    fn count_emitted(&mut self) {
        self.tee.take_emitted(|event_type| self.tallies[event_type].emitted += 1);
    }

    /// Writes also what the outputs hold back, so that the counters that follow are exact.
    pub fn settle(&mut self) {
        self.tee.settle();
        self.tee.take_emitted(|event_type| self.tallies[event_type].emitted += 1);
    }

    /// Passes the counters on to recordings.
    pub fn note_counters(&mut self, accounting: &Accounting) {
        self.tee.note(&Note::Counters(accounting));
    }

    /// Says in the stream what was left out of it until then.
    pub fn notice(&mut self, mono_ns: u64, notice: &Notice) {
        let time = self.clock.moment(mono_ns);
        self.tee.note(&Note::LeftOut(time, notice));
    }

    /// Passes on what the recordings that were read say of what they do not have.
    pub fn note_sources(&mut self, losses: &[AccountingFrame], error: Option<&str>) {
        self.tee.note(&Note::Sources { losses, error });
    }

    /// Seals what a flight recorder keeps, with the next counters.
    pub fn seal(&mut self) {
        self.tee.note(&Note::Seal);
    }

    /// The reader of that output went away.
    pub fn hang_up(&mut self, output: usize) {
        self.tee.hang_up(output);
    }

    /// Whether --count is reached.
    #[must_use]
    pub fn is_at_count(&self) -> bool {
        self.left == Some(0)
    }

    /// Whether nothing more can or should be printed.
    #[must_use]
    pub fn done(&self) -> bool {
        self.tee.failure().is_some() || self.left == Some(0)
    }

    /// Sets new layouts after a module was loaded.
    pub fn set_layouts(&mut self, layouts: Layouts) {
        self.tee.note(&Note::Layouts(&layouts));
        self.environment.types.layouts = layouts;
    }

    /// Records received so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The failure of an output that ends the trace.
    #[must_use]
    pub fn failure(&self) -> Option<Failure<'_>> {
        self.tee.failure()
    }

    /// Other failures of outputs that were not returned before.
    pub fn new_failures(&mut self) -> Vec<Failure<'_>> {
        self.tee.new_failures()
    }

    /// The accounting. At the end, records that were submitted but never arrived are lost; before, they are in transit.
    #[must_use]
    pub fn accounting(
        &self,
        stage: Stage,
        actions: Actions,
        kernel: &[(&'static EventType, KernelCounts)],
        evicted: Evicted,
    ) -> Accounting {
        let duration_ns = self.clock.elapsed_ns();
        // Aggregated events have no order.
        let late = if self.aggregate.is_none() { self.reorder.borrow().late() } else { 0 };
        let outputs = self.tee.accounts();
        let mut accounting =
            Accounting { duration_ns, late, evicted, outputs, ..Default::default() };
        for (EventType { name, number, .. }, counts) in kernel {
            let tally = self.tallies[usize::from(*number)];
            if actions.count {
                accounting.count.push((name, counts.count(stage)));
            }
            if actions.aggregate {
                accounting.aggregate.push((name, counts.aggregate(stage)));
            }
            if actions.record && self.aggregate.is_some() {
                accounting.aggregate.push((name, tally.aggregate(stage, *counts)));
            } else if actions.record {
                accounting.event_types.push((name, tally.record(stage, *counts)));
            }
        }
        accounting
    }

    /// Adds the accounting to the outputs.
    pub fn account(&mut self, stage: Stage, accounting: &Accounting) {
        let now = self.clock.moment(self.clock.now_ns());
        self.tee.account(stage, now, accounting);
    }
}

#[cfg(test)]
mod tests;
