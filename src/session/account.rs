//! Accounting: reads the programs' counters and reports them at the end, at intervals and on SIGUSR1.

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

/// How often to read the counters until they are consistent.
const SETTLE_TRIES: usize = 20;

impl Trace<'_, '_> {
    /// Drains the buffer after the programs were detached, and reports the accounting, whatever fails before; returns the
    /// first error.
    pub(super) fn finish(&self, source: &Source<'_>, pipeline: &RefCell<Pipeline>) -> Result<()> {
        pipeline.borrow_mut().clock.update();
        let drained = self.drain_stopped(source);
        pipeline.borrow_mut().flush();
        let aggregated = self.print_summary(pipeline);
        let accounted = self.account(Stage::End, source, pipeline);
        drained.and(aggregated).and(accounted)
    }

    /// A program that was running when it was detached may take some µs to finish.
    fn drain_stopped(&self, source: &Source<'_>) -> Result<()> {
        for _ in 0..50 {
            source.drain()?;
            // If they cannot be read, `account` fails.
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
            let mut type_counts = self.settled(event_type)?;
            let number = usize::from(event_type.number);
            let programs =
                self.variant.programs.iter().filter(|(event_type, _)| *event_type == number);
            let misses: u64 = programs.map(|(_, name)| self.loaded.recursion_misses(name)).sum();
            type_counts.skipped = misses.saturating_sub(type_counts.caught);
            self.resolve_undecided(event_type, &mut type_counts, &evicted);
            counts.push((event_type, type_counts));
        }
        // Aggregated events have no order.
        let late = if self.aggregate.is_none() { source.late() } else { 0 };
        let mut pipeline = pipeline.borrow_mut();
        let accounting = pipeline.accounting(stage, &counts, late, evicted);
        pipeline.account(stage, &accounting);
        if !self.config.output.quiet {
            accounting.lines().iter().for_each(|line| output::print_line(line));
        } else if stage == Stage::End && pipeline.error().is_none() {
            // Not if the output ended first: what `| head` does not read counts as lost, too.
            accounting.warning().iter().for_each(|line| output::print_line(line));
        }
        if let (Some(aggregate), Stage::End) = (&self.aggregate, stage) {
            // Intervals and totals are counted separately, and both must have every event.
            let aggregate = aggregate.borrow();
            let aggregated = accounting.total().aggregated;
            let counts = [aggregate.events_reported(), aggregate.events_counted()];
            if let Some(wrong) = counts.iter().find(|count| **count != aggregated) {
                output::print_line(&format!(
                    "note: the summaries show {wrong} of {aggregated} aggregated events"
                ));
            }
        }
        Ok(())
    }

    /// The owner is also unknown for connections without one (the last packets of a closed one), whose events a filter rejects.
    /// So events that were undecided before anything was evicted count as filtered.
    fn resolve_undecided(
        &self,
        event_type: &EventType,
        counts: &mut KernelCounts,
        evicted: &Evicted,
    ) {
        let mut ownerless = self.ownerless.borrow_mut();
        let ownerless = ownerless.entry(event_type.number).or_insert(0);
        if !evicted.owners() {
            *ownerless = counts.undecided;
        }
        counts.filtered += *ownerless;
        counts.undecided -= *ownerless;
    }

    /// The counters while no program is running, if that happens soon.
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
