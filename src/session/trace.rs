//! The main loop: take records, scan for owners, stop, report the accounting.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::child::Child;
use super::columns::Selection;
use super::command::follows_processes;
use super::signals::{self, Signals};
use super::wait::{Waiter, WakeReason};
use super::{listen, output, priority};
use crate::config::Config;
use crate::events::ca::ALGORITHMS;
use crate::events::{EventType, Hook, Types};
use crate::kernel::{self, Kernel};
use crate::loader::plan::{LISTEN_SCAN, OPEN_SCAN, OWNER_SCAN, Plan, Variant};
use crate::loader::source::{Source, Wait, whole_size};
use crate::loader::{KERNEL_CLOCK, Loaded};
use crate::pipeline::Pipeline;
use crate::pipeline::clock::{Clock, mono_ns};
use crate::sink::Stage;
use crate::summary::{Aggregate, Span};

/// How long records may accumulate while many arrive.
const NAP: Duration = Duration::from_millis(10);
/// How often to check for owner scan requests.
const OWNER_TICK: Duration = Duration::from_millis(100);
/// How often to check for modules that were not loaded at the start.
const MODULE_TICK: Duration = Duration::from_secs(1);
/// Scans of all open files may take at most one part in this many of the time.
pub(super) const SCAN_SHARE: u32 = 20;
/// The longest wait without a timer.
const FOREVER: Duration = Duration::from_secs(60);

/// Algorithms whose module is not loaded.
fn missing_modules() -> Vec<&'static str> {
    ALGORITHMS
        .iter()
        .filter(|algorithm| !kernel::is_loaded(algorithm))
        .map(|algorithm| algorithm.name)
        .collect()
}

/// A running trace.
pub(super) struct Trace<'t, 'o> {
    pub(super) config: &'t Config,
    pub(super) plan: &'t Plan,
    pub(super) variant: &'t Variant,
    pub(super) selection: &'t Selection,
    pub(super) loaded: Loaded<'o>,
    pub(super) signals: &'static Signals,
    /// The aggregate printed in place of events, and when it was last read.
    pub(super) aggregate: Option<RefCell<Box<dyn Aggregate>>>,
    pub(super) read_ns: Cell<u64>,
    /// Undecided events from before anything was evicted, by event type: their connections have no owner.
    pub(super) ownerless: RefCell<BTreeMap<u8, u64>>,
    /// The warning that some processes are not traced was printed.
    pub(super) warned_untraced: Cell<bool>,
}

/// When things are due.
struct Timers {
    end: Option<Instant>,
    stats: Option<Instant>,
    scan: Option<Instant>,
    listeners: Option<Instant>,
    modules: Option<Instant>,
    summary: Option<Instant>,
}

impl Trace<'_, '_> {
    /// Runs to the end, and returns the exit status.
    pub(super) fn run(self, types: Types) -> Result<u8> {
        let output = &self.config.output;
        let sink = output::sink(output, self.selection).context("standard output")?;
        self.set_clock();
        let clock = Clock::new(output.time);
        let pipeline = RefCell::new(Pipeline::new(sink, types, clock, self.config.limits.count));
        // Helpers first: the programs that emit events depend on their state.
        let (processes, hooks): (Vec<&String>, Vec<&String>) =
            self.variant.helpers.iter().partition(|hook| follows_processes(hook));
        let processes = self.loaded.attach(processes)?;
        let mut links = self.loaded.attach(hooks)?;
        let scans = self.plan.scan_owners && self.scan_owners();
        let source = Source::new(
            &self.loaded.skel,
            self.plan.transport,
            self.config.kernel_options.buffer_size,
            Box::new(|bytes| match &self.aggregate {
                Some(aggregate) => {
                    let taken = aggregate.borrow_mut().record(bytes);
                    pipeline.borrow_mut().taken(bytes, taken);
                }
                None => pipeline.borrow_mut().record(bytes),
            }),
        )?;
        let programs = self.variant.programs.iter().map(|(_, name)| name);
        links.extend(
            self.loaded.attach(programs.filter(|name| !self.variant.helpers.contains(name)))?,
        );
        links.extend(self.loaded.attach(&self.variant.recursion_fallbacks)?);
        if let Some(aggregate) = &self.aggregate {
            aggregate.borrow_mut().begin(&self.loaded)?;
        }
        pipeline.borrow_mut().begin();
        if self.listen_snapshots() {
            self.loaded.scan(LISTEN_SCAN)?;
        }
        if self.plan.list_open {
            self.loaded.scan(OPEN_SCAN)?;
            // Listed before any other event.
            source.drain()?;
            pipeline.borrow_mut().flush();
        }
        self.read_ns.set(mono_ns());
        let waiter = Waiter::new(source.ring_fd(), self.signals)?;
        // The command starts only after everything else that may fail.
        let mut child = None;
        let followed = self
            .start_command(&pipeline, &waiter, &mut child)
            .and_then(|()| self.follow(&source, &pipeline, &waiter, scans, child.as_mut()));
        let polled = self.poll(&source);
        if self.listen_snapshots() {
            self.listen_snapshot();
        }

        // Recursion fallbacks before the programs they back up: without those, every event would look missed.
        links.into_iter().rev().for_each(drop);
        let status = self.end_command(child.as_mut());
        drop(processes);
        // Reported whatever ended the trace.
        let finished = self.finish(&source, &pipeline);
        followed.and(polled).and(finished)?;
        let status = status?;
        match pipeline.borrow_mut().take_error() {
            Some(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::TimedOut) => {
                Err(error).context("cannot write the output")
            }
            error => Ok(status.unwrap_or_else(|| self.status_without_command(error.is_some()))),
        }
    }

    /// An end by signal is a success, unless the command was not started, or the end was forced before all output was written.
    fn status_without_command(&self, cut_short: bool) -> u8 {
        let by = match (self.signals.ended_by(), self.signals.forced_by()) {
            (Some(signal), _) if !self.config.command.is_empty() => Some(signal),
            (_, forced) => forced.filter(|_| cut_short),
        };
        by.map_or(0, signals::status)
    }

    /// The traced event types.
    pub(super) fn event_types(&self) -> impl Iterator<Item = &'static EventType> {
        self.variant.event_types()
    }

    /// Their tracepoints, each once.
    fn hooks(&self) -> Vec<&'static str> {
        let mut hooks: Vec<&str> = Vec::new();
        let runs = |hook: &Hook| {
            let programs = &self.variant.programs;
            programs.iter().any(|(_, name)| name.starts_with(hook.program))
        };
        let of_type = |event_type: &'static EventType| -> Vec<&'static str> {
            let fallback: Vec<&str> = event_type
                .fallback_hooks
                .iter()
                .filter(|hook| runs(hook))
                .map(|hook| hook.hook)
                .collect();
            if fallback.is_empty() { event_type.hooks().collect() } else { fallback }
        };
        for hook in self.event_types().flat_map(of_type) {
            if !hooks.contains(&hook) {
                hooks.push(hook);
            }
        }
        hooks
    }

    fn announce(&self) {
        let output = &self.config.output;
        if output.quiet {
            return;
        }
        self.variant.notes.iter().for_each(|note| output::print_line(&format!("note: {note}")));
        let size = whole_size(self.plan.transport, self.config.kernel_options.buffer_size);
        let unit = if size.is_multiple_of(1 << 20) {
            format!("{} MiB", size >> 20)
        } else {
            format!("{} KiB", size >> 10)
        };
        let way = match &self.config.summary {
            Some(summary) => summary.aggregate.method().to_owned(),
            None => format!("{} of {unit}", self.plan.transport.name()),
        };
        output::print_line(&format!(
            "tracing {} (reader {}, {way}); Ctrl-C ends it",
            self.hooks().join(", "),
            self.variant.reader.name(),
        ));
        if output.verbose {
            output::print_line(&format!(
                "reader {}: {}",
                self.variant.reader.name(),
                self.variant.description
            ));
            output::print_line(&format!(
                "programs: {}",
                [KERNEL_CLOCK]
                    .into_iter()
                    .chain(self.variant.helpers.iter().map(String::as_str))
                    .chain(self.variant.programs.iter().map(|(_, name)| name.as_str()))
                    .chain(self.variant.recursion_fallbacks.iter().map(String::as_str))
                    .collect::<Vec<_>>()
                    .join(" ")
            ));
        }
    }

    /// The loop. Many records are taken every few ms; if they are few, the first one wakes the loop.
    fn follow(
        &self,
        source: &Source<'_>,
        pipeline: &RefCell<Pipeline>,
        waiter: &Waiter<'_>,
        scans: bool,
        mut child: Option<&mut Child>,
    ) -> Result<()> {
        // After the command has started, which would inherit the niceness.
        priority::set(self.config.kernel_options.nice)?;
        self.announce();
        let now = Instant::now();
        let mut timers = Timers {
            // A time beyond the clock's range never comes.
            end: self.config.limits.duration.and_then(|duration| now.checked_add(duration)),
            stats: self.config.output.stats.and_then(|every| now.checked_add(every)),
            scan: scans.then_some(now + OWNER_TICK),
            listeners: self.listen_snapshots().then_some(now + listen::TICK),
            modules: self.selection.full.then_some(now + MODULE_TICK),
            summary: self.interval().and_then(|every| now.checked_add(every)),
        };
        let mut missing = missing_modules();
        let mut handled = source.owner_scan_requests();
        let mut quiet_rounds = 0;
        loop {
            let before = pipeline.borrow().received();
            pipeline.borrow_mut().clock.update();
            let more = source.consume()?;
            pipeline.borrow_mut().flush();
            let busy = pipeline.borrow().received() > before || source.holds();
            let ended = waiter.child_ended() || waiter.reader_gone();
            if pipeline.borrow().done() || self.signals.forced_by().is_some() || ended {
                return Ok(());
            }
            if self.signals.ended_by().is_some() {
                let Some(child) = &mut child else {
                    return Ok(());
                };
                // It is traced until it exits, which may take some time.
                child.terminate();
            }
            let now = Instant::now();
            if timers.end.is_some_and(|end| now >= end) {
                return Ok(());
            }
            if self.signals.take_stats() || timers.stats.is_some_and(|due| now >= due) {
                timers.stats = self.config.output.stats.and_then(|every| now.checked_add(every));
                self.account(Stage::Interim, source, pipeline)?;
            }
            if timers.scan.is_some_and(|due| now >= due) {
                timers.scan = self.serve_owner_scans(source, &mut handled);
                self.warn_untraced_processes();
            }
            if timers.listeners.is_some_and(|due| now >= due) {
                timers.listeners = self.listen_snapshot();
            }
            if timers.modules.is_some_and(|due| now >= due) {
                timers.modules = self.check_modules(pipeline, &mut missing);
            }
            if let Some(due) = timers.summary.filter(|&due| now >= due) {
                // At a steady pace; missed intervals are not made up for.
                let after = |from: Instant| from.checked_add(self.interval()?);
                timers.summary = after(due).filter(|&next| next > now).or_else(|| after(now));
                self.poll(source)?;
                self.print_summary(pipeline)?;
            }
            if more {
                continue;
            }
            // A record reserved before the programs saw the announcement does not wake the loop. So the first wait is short,
            // and only if it brought nothing may the next one be long.
            quiet_rounds = if busy { 0 } else { quiet_rounds + 1 };
            let (how, limit) = match quiet_rounds {
                0 => (Wait::Nap, NAP),
                1 => (Wait::Sleep, NAP),
                _ => (Wait::Sleep, FOREVER),
            };
            source.announce(how)?;
            let Timers { end, stats, scan, listeners, modules, summary } = timers;
            let due = [end, stats, scan, listeners, modules, summary].into_iter().flatten().min();
            let limit = due.map_or(limit, |due| limit.min(due.saturating_duration_since(now)));
            if waiter.wait(source, limit)? == WakeReason::Records {
                // Perhaps woken by a record behind an unfinished one, which will not wake the loop.
                quiet_rounds = 0;
            }
        }
    }

    fn interval(&self) -> Option<Duration> {
        self.config.summary.as_ref().and_then(|summary| summary.interval)
    }

    /// Takes a snapshot for the aggregate, and the records from before and meanwhile.
    fn poll(&self, source: &Source<'_>) -> Result<()> {
        let Some(aggregate) = &self.aggregate else {
            return Ok(());
        };
        source.drain()?;
        aggregate.borrow_mut().poll(&self.loaded)?;
        source.drain()
    }

    /// Prints the aggregate since the last summary.
    pub(super) fn print_summary(&self, pipeline: &RefCell<Pipeline>) -> Result<()> {
        let Some(aggregate) = &self.aggregate else {
            return Ok(());
        };
        let mut pipeline = pipeline.borrow_mut();
        pipeline.clock.update();
        let now = mono_ns();
        let interval_ns = now.saturating_sub(self.read_ns.replace(now));
        let span = Span { time: pipeline.clock.moment(now), interval_ns };
        aggregate.borrow_mut().print(&self.loaded, span, &mut |summary| pipeline.summary(summary))
    }

    /// Scans open files again if the owner of a sample was unknown; returns when to check next.
    fn serve_owner_scans(&self, source: &Source<'_>, handled: &mut u32) -> Option<Instant> {
        let started = Instant::now();
        let requests = source.owner_scan_requests();
        if requests != *handled {
            *handled = requests;
            if !self.scan_owners() {
                return None;
            }
        }
        Some(started + (started.elapsed() * SCAN_SHARE).max(OWNER_TICK))
    }

    /// Scans the open files of all processes for owners; false if that fails, and need not be tried again.
    fn scan_owners(&self) -> bool {
        let scanned = self.loaded.scan(OWNER_SCAN);
        if let Err(error) = &scanned
            && !self.config.output.quiet
        {
            output::print_line(&format!(
                "note: {error:#}; owners are now found only when a process connects, sends or receives"
            ));
        }
        scanned.is_ok()
    }

    /// Reads the layouts of algorithm modules loaded since the start; returns when to check next.
    fn check_modules(
        &self,
        pipeline: &RefCell<Pipeline>,
        missing: &mut Vec<&'static str>,
    ) -> Option<Instant> {
        let now = missing_modules();
        if now != *missing {
            let kernel = Kernel::new(self.config.kernel_options.btf.as_deref());
            pipeline.borrow_mut().set_layouts(kernel.ca_layouts());
            *missing = now;
        }
        (!missing.is_empty()).then(|| Instant::now() + MODULE_TICK)
    }
}
