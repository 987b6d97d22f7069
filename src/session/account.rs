//! Accounting: reads the programs' counters and reports them at the end, at intervals and on SIGUSR1.

use std::time::Duration;

use anyhow::Result;

use super::trace::Trace;
use super::{output, own_cost};
use crate::accounting::{Accounting, AggregateCounts, Evicted, total};
use crate::events::{EventType, after_group};
use crate::loader::Role;
use crate::pipeline::source::Source;
use crate::pipeline::{KernelCounts, Pipeline};
use crate::sink::Stage;
use crate::skel::Cpu;
use crate::summary::{self, evictions};

/// How often to read the counters until they are consistent.
const SETTLE_TRIES: usize = 20;

impl Trace<'_, '_> {
    /// Drains the buffer after the programs were detached, and reports the accounting, whatever fails before; returns the
    /// first error.
    pub(super) fn finish(&self, source: &dyn Source, pipeline: &mut Pipeline<'_>) -> Result<()> {
        pipeline.clock.update();
        let drained = self.drain_stopped(source, pipeline);
        pipeline.finish();
        self.report_failures(pipeline);
        let aggregated = self.print_summary(pipeline);
        let accounted = self.account(Stage::End, pipeline);
        drained.and(aggregated).and(accounted)
    }

    /// A program that was running when it was detached may take some µs to finish.
    fn drain_stopped(&self, source: &dyn Source, pipeline: &mut Pipeline<'_>) -> Result<()> {
        for _ in 0..50 {
            pipeline.drain(source)?;
            // If they cannot be read, `account` fails.
            let cpus = summary::cpus(&self.loaded.skel).unwrap_or_default();
            let mut counts = self.event_types().map(|of| summary::counters(&cpus, of));
            if !counts.any(|counts| counts.running(self.config.actions) > 0) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        pipeline.drain(source)
    }

    pub(super) fn account(&self, stage: Stage, pipeline: &mut Pipeline<'_>) -> Result<()> {
        pipeline.settle();
        let mut accounting = self.accounting(stage, pipeline)?;
        let cost = own_cost::read(self.bpf_stats);
        accounting.own_cost = Some(cost);
        pipeline.account(stage, &accounting);
        self.report_failures(pipeline);
        if !self.config.output.quiet {
            accounting.lines().iter().for_each(|line| output::print_line(line));
            let options = &self.config.output;
            if self.bpf_stats
                || options.verbose
                || options.stats.is_some()
                || stage == Stage::Interim
            {
                output::print_line(&cost.line());
            }
        } else if stage == Stage::End && pipeline.failure().is_none() {
            // Not if the output ended first: what `| head` does not read counts as lost, too.
            accounting.warning().iter().for_each(|line| output::print_line(line));
        }
        if let (Some(aggregate), Stage::End) = (&self.aggregate, stage) {
            // Intervals and totals are counted separately, and both must have every event.
            let aggregate = aggregate.borrow();
            let AggregateCounts { aggregated, overflow, .. } = total(&accounting.aggregate);
            let aggregated = aggregated + overflow;
            let counts = [aggregate.events_reported(), aggregate.events_counted()];
            if let Some(wrong) = counts.iter().find(|count| **count != aggregated) {
                output::print_line(&format!(
                    "note: the summaries show {wrong} of {aggregated} aggregated events"
                ));
            }
        }
        Ok(())
    }

    /// The counters so far, or of all.
    pub(super) fn accounting(&self, stage: Stage, pipeline: &Pipeline<'_>) -> Result<Accounting> {
        let evicted = evictions::evicted(&self.loaded.skel)?;
        let mut counts = Vec::new();
        let cpus = self.settled()?;
        for event_type in self.event_types() {
            let mut type_counts = summary::counters(&cpus, event_type);
            type_counts.skipped = self.recursion_misses(event_type, &cpus);
            self.resolve_undecided(event_type, &mut type_counts, &evicted);
            counts.push((event_type, type_counts));
        }
        Ok(pipeline.accounting(stage, self.config.actions, &counts, evicted))
    }

    /// Nested runs that were skipped at the tracepoints of this type.
    fn recursion_misses(&self, event_type: &'static EventType, cpus: &[Cpu]) -> u64 {
        let hooks = self.variant.hooks_of(event_type);
        let programs = self.variant.programs.iter().filter(|program| {
            program.role == Role::Events
                && hooks.iter().any(|hook| after_group(hook) == program.tracepoint)
        });
        programs.map(|program| self.loaded.recursion_misses(program, cpus)).sum()
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
    fn settled(&self) -> Result<Vec<Cpu>> {
        let mut cpus = summary::cpus(&self.loaded.skel)?;
        for _ in 0..SETTLE_TRIES {
            let actions = self.config.actions;
            if self.event_types().all(|of| summary::counters(&cpus, of).running(actions) == 0) {
                break;
            }
            cpus = summary::cpus(&self.loaded.skel)?;
        }
        Ok(cpus)
    }
}
