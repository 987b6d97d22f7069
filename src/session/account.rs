//! The books: read from the programs, told at the end and whenever somebody asks.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::Result;

use super::output;
use super::trace::Trace;
use crate::accounting::Evicted;
use crate::events::EventType;
use crate::loader::source::Source;
use crate::pipeline::{KernelCounts, Pipeline};
use crate::sink::Stage;
use crate::summary::{self, evictions};

/// How often the counters are read again until they agree.
const SETTLE_TRIES: usize = 20;

impl Trace<'_, '_> {
    /// Drains, once the programs are stopped, and closes the books: whatever fails before them, and with the first error.
    pub(super) fn finish(&self, source: &Source<'_>, pipeline: &RefCell<Pipeline>) -> Result<()> {
        pipeline.borrow_mut().clock.update();
        let drained = self.drain_stopped(source);
        pipeline.borrow_mut().flush();
        let aggregated = self.print_summary(pipeline);
        let accounted = self.account(Stage::End, source, pipeline);
        drained.and(aggregated).and(accounted)
    }

    /// A program that was running when its link went may still be at work for some µs.
    fn drain_stopped(&self, source: &Source<'_>) -> Result<()> {
        for _ in 0..50 {
            source.drain()?;
            // Where they cannot be read the books say so.
            let counts = self
                .event_types()
                .map(|event_type| summary::counters(&self.loaded.skel, event_type));
            if !counts.flatten().any(|counts| counts.running() > 0) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        source.drain()
    }

    pub(super) fn account(
        &self,
        stage: Stage,
        source: &Source<'_>,
        pipeline: &RefCell<Pipeline>,
    ) -> Result<()> {
        let evicted = evictions::evicted(&self.loaded.skel)?;
        let mut counts = Vec::new();
        for event_type in self.event_types() {
            let mut of_type = self.settled(event_type)?;
            let number = usize::from(event_type.number);
            let programs =
                self.variant.programs.iter().filter(|(event_type, _)| *event_type == number);
            let misses: u64 = programs.map(|(_, name)| self.loaded.recursion_misses(name)).sum();
            of_type.skipped = misses.saturating_sub(of_type.caught);
            self.decide(event_type, &mut of_type, &evicted);
            counts.push((event_type, of_type));
        }
        // What is counted is taken as it comes, and none of it stands behind another.
        let late = if self.aggregate.is_none() { source.late() } else { 0 };
        let mut pipeline = pipeline.borrow_mut();
        let accounting = pipeline.accounting(stage, &counts, late, evicted);
        pipeline.account(stage, &accounting);
        if !self.config.output.quiet {
            accounting.lines().iter().for_each(|line| output::tell(line));
        }
        let told = self.aggregate.as_ref().map(|aggregate| aggregate.borrow().events_reported());
        let aggregated = accounting.total().aggregated;
        if let Some(told) = told.filter(|&told| stage == Stage::End && told != aggregated) {
            output::tell(&format!(
                "note: {aggregated} events were aggregated, {told} were told of"
            ));
        }
        Ok(())
    }

    /// Of a connection that nobody owns (a closed one's last packets) the owner is not known either, and what is not known to
    /// be wanted is not. So as long as nothing was evicted nothing was undecided for want of room.
    fn decide(&self, event_type: &EventType, counts: &mut KernelCounts, evicted: &Evicted) {
        let mut ownerless = self.ownerless.borrow_mut();
        let ownerless = ownerless.entry(event_type.number).or_insert(0);
        if !evicted.owners() {
            *ownerless = counts.undecided;
        }
        counts.filtered += *ownerless;
        counts.undecided -= *ownerless;
    }

    /// The counters at a moment when no program is at work, if there is one soon.
    fn settled(&self, event_type: &'static EventType) -> Result<KernelCounts> {
        let mut counts = summary::counters(&self.loaded.skel, event_type)?;
        for _ in 0..SETTLE_TRIES {
            if counts.running() == 0 {
                break;
            }
            counts = summary::counters(&self.loaded.skel, event_type)?;
        }
        Ok(counts)
    }
}
