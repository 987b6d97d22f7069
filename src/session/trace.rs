//! The loop: take records, answer what the programs ask, stop, account.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::child::Child;
use super::columns::Selection;
use super::command::follows_processes;
use super::signals::{self, Signals};
use super::wait::{Waiter, Woken};
use super::{listen, output, priority};
use crate::config::Config;
use crate::config::summary::SummaryCommand;
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

/// The reader's timer: how long records may pile up while many come.
const NAP: Duration = Duration::from_millis(10);
/// How often the owner questions are looked at.
const OWNER_TICK: Duration = Duration::from_millis(100);
/// How often modules are looked for that were not loaded at the start.
const MODULE_TICK: Duration = Duration::from_secs(1);
/// A scan of all open files may take at most one part in so many of the time.
pub(super) const SCAN_SHARE: u32 = 20;
/// What no timer bounds is looked at once a minute.
const FOREVER: Duration = Duration::from_secs(60);

/// The algorithms that no connection can use now.
fn missing_modules() -> Vec<&'static str> {
    ALGORITHMS
        .iter()
        .filter(|algorithm| !kernel::is_loaded(algorithm))
        .map(|algorithm| algorithm.name)
        .collect()
}

/// Programs that run, and what they run for.
pub(super) struct Trace<'t, 'o> {
    pub(super) config: &'t Config,
    pub(super) plan: &'t Plan,
    pub(super) variant: &'t Variant,
    pub(super) selection: &'t Selection,
    pub(super) loaded: Loaded<'o>,
    pub(super) signals: &'static Signals,
    /// What is counted in place of events, and when it was read last.
    pub(super) aggregate: Option<RefCell<Box<dyn Aggregate>>>,
    pub(super) read_ns: Cell<u64>,
    /// Events of no owner from before anything was evicted, by event type.
    pub(super) ownerless: RefCell<BTreeMap<u8, u64>>,
    /// That not all of the command is traced was said.
    pub(super) told_of_untraced: Cell<bool>,
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
    /// Until the end; the exit status.
    pub(super) fn run(self, types: Types) -> Result<u8> {
        let output = &self.config.output;
        let sink = output::sink(output, self.selection).context("standard output")?;
        self.set_clock();
        let clock = Clock::new(output.time);
        let pipeline = RefCell::new(Pipeline::new(sink, types, clock, self.config.limits.count));
        // What the reader depends on runs first, so that its first event finds all in place.
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
            // All of them before anything is said of what comes.
            source.drain()?;
            pipeline.borrow_mut().flush();
        }
        self.read_ns.set(mono_ns());
        let waiter = Waiter::new(source.ring_fd(), self.signals)?;
        // Whatever can be known to fail was tried by now. What fails from here on ends the trace like all else.
        let mut child = None;
        let followed = self
            .start_command(&pipeline, &waiter, &mut child)
            .and_then(|()| self.follow(&source, &pipeline, &waiter, scans, child.as_mut()));
        let looked = self.poll(&source);
        if self.listen_snapshots() {
            self.listen_snapshot();
        }

        // Second programs before the first: else they would take everything for missed.
        links.into_iter().rev().for_each(drop);
        let status = self.end_command(child.as_mut());
        drop(processes);
        // Whatever ended the trace, it is accounted for.
        let finished = self.finish(&source, &pipeline);
        followed.and(looked).and(finished)?;
        let status = status?;
        match pipeline.borrow_mut().take_error() {
            Some(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::TimedOut) => {
                Err(error).context("cannot write the output")
            }
            error => Ok(status.unwrap_or_else(|| self.status_without_command(error.is_some()))),
        }
    }

    /// The end that was asked for is a good one. It is none where the command was not even started, or where it was forced
    /// before the output had taken everything.
    fn status_without_command(&self, cut_short: bool) -> u8 {
        let by = match (self.signals.ended_by(), self.signals.forced_by()) {
            (Some(signal), _) if !self.config.command.is_empty() => Some(signal),
            (_, forced) => forced.filter(|_| cut_short),
        };
        by.map_or(0, signals::status)
    }

    /// What is traced.
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
        self.variant.notes.iter().for_each(|note| output::tell(&format!("note: {note}")));
        let size = whole_size(self.plan.transport, self.config.kernel_options.buffer_size);
        let unit = if size.is_multiple_of(1 << 20) {
            format!("{} MiB", size >> 20)
        } else {
            format!("{} KiB", size >> 10)
        };
        let way = match self.config.summary.as_ref().map(|summary| &summary.what) {
            Some(
                SummaryCommand::Rtt(_)
                | SummaryCommand::Connlat(_)
                | SummaryCommand::Retrans(_)
                | SummaryCommand::Cong(_),
            ) => "counted in the kernel".to_owned(),
            Some(SummaryCommand::Top(_)) => "all connections read each interval".to_owned(),
            Some(SummaryCommand::Listeners(_)) => {
                "all listening sockets read each interval".to_owned()
            }
            None => format!("{} of {unit}", self.plan.transport.name()),
        };
        output::tell(&format!(
            "tracing {} (reader {}, {way}); Ctrl-C ends it",
            self.hooks().join(", "),
            self.variant.reader.name(),
        ));
        if output.verbose {
            output::tell(&format!("reader {}: {}", self.variant.reader.name(), self.variant.why));
            output::tell(&format!(
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

    /// The loop. Many records: they are taken every few ms. Few: the first one wakes us.
    fn follow(
        &self,
        source: &Source<'_>,
        pipeline: &RefCell<Pipeline>,
        waiter: &Waiter<'_>,
        scans: bool,
        mut child: Option<&mut Child>,
    ) -> Result<()> {
        // Not before the command runs: its niceness is its own.
        priority::set(self.config.kernel_options.nice)?;
        self.announce();
        let now = Instant::now();
        let mut timers = Timers {
            // Beyond the clock's range is never.
            end: self.config.limits.duration.and_then(|duration| now.checked_add(duration)),
            stats: self.config.output.stats.and_then(|every| now.checked_add(every)),
            scan: scans.then_some(now + OWNER_TICK),
            listeners: self.listen_snapshots().then_some(now + listen::TICK),
            modules: self.selection.full.then_some(now + MODULE_TICK),
            summary: self.interval().and_then(|every| now.checked_add(every)),
        };
        let mut missing = missing_modules();
        let mut asked = source.owner_scan_requests();
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
                // It is traced to its end, which may take it some time.
                child.tell_to_end();
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
                timers.scan = self.answer_owner_asks(source, &mut asked);
                self.tell_of_untraced();
            }
            if timers.listeners.is_some_and(|due| now >= due) {
                timers.listeners = self.listen_snapshot();
            }
            if timers.modules.is_some_and(|due| now >= due) {
                timers.modules = self.look_for_modules(pipeline, &mut missing);
            }
            if let Some(due) = timers.summary.filter(|&due| now >= due) {
                // At a steady pace; what was missed is not made up for.
                let after = |from: Instant| from.checked_add(self.interval()?);
                timers.summary = after(due).filter(|&next| next > now).or_else(|| after(now));
                self.poll(source)?;
                self.print_summary(pipeline)?;
            }
            if more {
                continue;
            }
            // A record that was begun before the programs saw the announcement does not wake us: so the first wait is
            // short, and only when that brought nothing may the next one be long.
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
            if waiter.wait(source, limit)? == Woken::ByRecords {
                // Perhaps by a record behind one that is not finished: that one wakes nobody.
                quiet_rounds = 0;
            }
        }
    }

    fn interval(&self) -> Option<Duration> {
        self.config.summary.as_ref().and_then(|summary| summary.interval)
    }

    /// Takes in what there is, and the records from before and meanwhile.
    fn poll(&self, source: &Source<'_>) -> Result<()> {
        let Some(aggregate) = &self.aggregate else {
            return Ok(());
        };
        source.drain()?;
        aggregate.borrow_mut().poll(&self.loaded)?;
        source.drain()
    }

    /// Prints what was counted since the last time.
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

    /// Looks through the processes' files again where a sample's owner was not known; returns when to look next.
    fn answer_owner_asks(&self, source: &Source<'_>, asked: &mut u32) -> Option<Instant> {
        let started = Instant::now();
        let asks = source.owner_scan_requests();
        if asks != *asked {
            *asked = asks;
            if !self.scan_owners() {
                return None;
            }
        }
        Some(started + (started.elapsed() * SCAN_SHARE).max(OWNER_TICK))
    }

    /// Looks through the processes' files; false where that does not go, and need not be tried again.
    fn scan_owners(&self) -> bool {
        let scanned = self.loaded.scan(OWNER_SCAN);
        if let Err(error) = &scanned
            && !self.config.output.quiet
        {
            output::tell(&format!(
                "note: {error:#}: owners that no hook sees stay unknown from now on"
            ));
        }
        scanned.is_ok()
    }

    /// An algorithm's module that was loaded since the start has made its state known; returns when to look next.
    fn look_for_modules(
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
