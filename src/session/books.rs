//! The books: read from the programs, told at the end and whenever somebody asks.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::Result;

use super::output;
use super::trace::Trace;
use crate::accounting::Forgotten;
use crate::loader::source::Source;
use crate::pipeline::{KernelCounts, Pipeline};
use crate::probe::Kind;
use crate::sink::Stage;
use crate::summary::{self, memories};

/// How often the counters are read again until they agree.
const SETTLE_TRIES: usize = 20;

impl Trace<'_, '_> {
    /// Drains, once the programs are stopped, and closes the books: whatever fails before them, and with the first error.
    pub(super) fn finish(&self, source: &Source<'_>, pipeline: &RefCell<Pipeline>) -> Result<()> {
        pipeline.borrow_mut().clock.update();
        let drained = self.drain_stopped(source);
        pipeline.borrow_mut().flush();
        let summarised = self.summarise(pipeline);
        let accounted = self.account(Stage::End, source, pipeline);
        drained.and(summarised).and(accounted)
    }

    /// A program that was running when its link went may still be at work for some µs.
    fn drain_stopped(&self, source: &Source<'_>) -> Result<()> {
        for _ in 0..50 {
            source.drain()?;
            // Where they cannot be read the books say so.
            let counts = self.kinds().map(|kind| summary::counters(&self.loaded.skel, kind));
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
        let forgotten = memories::forgotten(&self.loaded.skel)?;
        let mut counts = Vec::new();
        for kind in self.kinds() {
            let mut of_kind = self.settled(kind)?;
            let number = usize::from(kind.number);
            let programs = self.variant.programs.iter().filter(|(kind, _)| *kind == number);
            let misses: u64 = programs.map(|(_, name)| self.loaded.recursion_misses(name)).sum();
            of_kind.skipped = misses.saturating_sub(of_kind.caught);
            self.decide(kind, &mut of_kind, &forgotten);
            counts.push((kind, of_kind));
        }
        // What is counted is taken as it comes, and none of it stands behind another.
        let late = if self.reading.is_none() { source.late() } else { 0 };
        let mut pipeline = pipeline.borrow_mut();
        let accounting = pipeline.accounting(stage, &counts, late, forgotten);
        pipeline.account(stage, &accounting);
        if !self.config.output.quiet {
            accounting.lines().iter().for_each(|line| output::tell(line));
        }
        let told = self.reading.as_ref().map(|reading| reading.borrow().told());
        let summarised = accounting.total().summarised;
        if let Some(told) = told.filter(|&told| stage == Stage::End && told != summarised) {
            output::tell(&format!(
                "note: {summarised} events were summarised, {told} were told of"
            ));
        }
        Ok(())
    }

    /// Of a connection that nobody owns (a closed one's last packets) the owner is not known either, and what is not known to
    /// be wanted is not. So as long as nothing was forgotten nothing was undecided for want of room.
    fn decide(&self, kind: &Kind, counts: &mut KernelCounts, forgotten: &Forgotten) {
        let mut ownerless = self.ownerless.borrow_mut();
        let ownerless = ownerless.entry(kind.number).or_insert(0);
        if !forgotten.owners() {
            *ownerless = counts.undecided;
        }
        counts.filtered += *ownerless;
        counts.undecided -= *ownerless;
    }

    /// The counters at a moment when no program is at work, if there is one soon.
    fn settled(&self, kind: &'static Kind) -> Result<KernelCounts> {
        let mut counts = summary::counters(&self.loaded.skel, kind)?;
        for _ in 0..SETTLE_TRIES {
            if counts.running() == 0 {
                break;
            }
            counts = summary::counters(&self.loaded.skel, kind)?;
        }
        Ok(counts)
    }
}
