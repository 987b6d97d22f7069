//! One trace from the attached programs to its exit status.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use anyhow::{Context, Result, bail};

use super::columns::Selection;
use super::destinations::Opened;
use super::export::Exporter;
use super::growth::Shown;
use super::output::print_line;
use super::recorder::RecordingFile;
use super::signals::{self, Signals};
use super::{anonymizer, assertions};
use crate::accounting::Noticed;
use crate::anonymize::Key;
use crate::config::Config;
use crate::environment::Environment;
use crate::events::EventType;
use crate::loader::live::Live;
use crate::loader::plan::{LISTEN_SCAN, OPEN_SCAN, Plan, Variant};
use crate::loader::{Loaded, Program, Role};
use crate::pipeline::clock::{Clock, mono_ns};
use crate::pipeline::source::Source;
use crate::pipeline::tee::{Branch, Failure, Tee};
use crate::pipeline::{Aggregator, Pipeline};
use crate::predicate::Compiled;
use crate::summary::{Aggregate, Span};

/// A running trace.
pub(super) struct Trace<'t, 'o> {
    pub(super) config: &'t Config,
    pub(super) plan: &'t Plan,
    pub(super) variant: &'t Variant,
    pub(super) selection: &'t Selection,
    pub(super) outputs: &'t [Opened<'t>],
    /// -w
    pub(super) recording: Option<&'t RecordingFile>,
    pub(super) shown: Shown,
    /// --where
    pub(super) filter: Option<&'t Compiled>,
    /// --trigger
    pub(super) trigger: Option<&'t Compiled>,
    /// --anonymize
    pub(super) key: Option<&'t Key>,
    pub(super) loaded: Loaded<'o>,
    pub(super) signals: &'static Signals,
    /// `export`
    pub(super) exporter: Option<&'t Exporter<'t>>,
    /// The aggregate printed in place of events, and when it was last read.
    pub(super) aggregate: Option<RefCell<Box<dyn Aggregate>>>,
    pub(super) read_ns: Cell<u64>,
    /// The kernel measures the run time of programs.
    pub(super) bpf_stats: bool,
    /// What was left out, and told.
    pub(super) noticed: RefCell<Noticed>,
    /// Undecided events from before anything was evicted, by event type: their connections have no owner.
    pub(super) ownerless: RefCell<BTreeMap<u8, u64>>,
    /// The warning that some processes are not traced was printed.
    pub(super) warned_untraced: Cell<bool>,
}

impl Trace<'_, '_> {
    /// Runs to the end, and returns the exit status.
    pub(super) fn run(self, mut environment: Environment) -> Result<u8> {
        let output = &self.config.output;
        let outputs = self.outputs.iter().map(|opened| opened.branch(output, self.selection));
        let mut branches: Vec<Branch> =
            outputs.collect::<io::Result<_>>().context("cannot write the output")?;
        self.set_clock();
        let clock = Clock::new(output.time);
        environment.clock = clock.reading();
        if let Some(recording) = self.recording {
            let (header, symbols) = self.header(&mut environment);
            branches.push(recording.branch(header, symbols).context("cannot write the recording")?);
        }
        if let Some(all) = &self.config.assertions {
            branches.push(assertions::branch(all, &environment)?);
        }
        let tee = Tee::new(branches);
        let anonymizer = self.key.map(|key| anonymizer(self.config, key, &environment.layout));
        // Others are made by the programs, and records are printed.
        let aggregate = self.aggregate.as_ref().filter(|_| !self.config.actions.aggregate);
        let aggregate = aggregate.map(|aggregate| -> Aggregator<'_> {
            Box::new(|bytes| aggregate.borrow_mut().record(bytes))
        });
        let mut pipeline =
            Pipeline::new(tee, environment, clock, self.config.limits.count, aggregate);
        pipeline.set_filter(self.filter.cloned());
        pipeline.set_trigger(self.trigger.cloned());
        pipeline.set_anonymizer(anonymizer);
        let source = Live::new(
            &self.loaded.skel,
            self.plan.transport,
            self.config.kernel_options.buffer_size,
            pipeline.records(),
        )?;
        let (processes, hooks): (Vec<&Program>, Vec<&Program>) =
            self.variant.programs.iter().partition(|program| program.role == Role::Processes);
        let processes = self.loaded.attach(processes)?;
        // Until the owners of open connections are known, the programs keep state and report no events.
        if !self.plan.scan_owners {
            source.start()?;
        }
        let links = self.loaded.attach(hooks)?;
        let scans = self.plan.scan_owners && self.scan_owners();
        source.start()?;
        if let Some(aggregate) = &self.aggregate {
            aggregate.borrow_mut().begin(&self.loaded)?;
        }
        if let Some(exporter) = self.exporter {
            exporter.begin(&self.loaded)?;
        }
        pipeline.begin();
        self.report_failures(&mut pipeline);
        if self.listen_snapshots() {
            self.loaded.scan(LISTEN_SCAN)?;
        }
        if self.plan.list_open {
            self.loaded.scan(OPEN_SCAN)?;
            // Listed before any other event.
            pipeline.drain(&source)?;
            pipeline.flush();
        }
        self.read_ns.set(mono_ns());
        let mut events = self.event_loop(&source)?;
        // The command starts only after everything else that may fail.
        let mut child = None;
        let followed = self
            .start_command(&pipeline, &mut events, &mut child)
            .and_then(|()| self.follow(&source, &mut pipeline, events, scans, child.as_mut()));
        let polled = self.poll(&source, &mut pipeline);
        if self.listen_snapshots() {
            self.listen_snapshot();
        }

        // Recursion fallbacks before the programs they back up: without those, every event would look missed.
        links.into_iter().rev().for_each(drop);
        let status = self.end_command(child.as_mut());
        drop(processes);
        // Reported whatever ended the trace.
        let finished = self.finish(&source, &mut pipeline);
        if let Some(exporter) = self.exporter {
            exporter.end();
        }
        self.announce_recorded();
        followed.and(polled).and(finished)?;
        let status = status?;
        match pipeline.failure() {
            Some(failure) if self.is_error(&failure) => {
                bail!("{}: {}", failure.what(), failure.error)
            }
            failure => Ok(status.unwrap_or_else(|| self.status_without_command(failure.is_some()))),
        }
    }

    /// A reader that goes away ends its output quietly, unless it has to read all of it.
    fn is_error(&self, failure: &Failure<'_>) -> bool {
        let forced = failure.error.kind() == ErrorKind::TimedOut;
        !failure.is_quiet() || (self.config.output.strict && failure.path.is_some() && !forced)
    }

    /// Reports outputs that ended while others continue.
    pub(super) fn report_failures(&self, pipeline: &mut Pipeline<'_>) {
        for failure in pipeline.new_failures() {
            let (what, error) = (failure.what(), failure.error);
            print_line(&format!("warning: {what}: {error}; this output ends"));
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

    /// Takes a snapshot for the aggregate, and the records from before and meanwhile.
    pub(super) fn poll(&self, source: &dyn Source, pipeline: &mut Pipeline<'_>) -> Result<()> {
        let Some(aggregate) = &self.aggregate else {
            return Ok(());
        };
        pipeline.drain(source)?;
        aggregate.borrow_mut().poll(&self.loaded)?;
        pipeline.drain(source)
    }

    /// Prints the aggregate since the last summary.
    pub(super) fn print_summary(&self, pipeline: &mut Pipeline<'_>) -> Result<()> {
        let Some(aggregate) = &self.aggregate else {
            return Ok(());
        };
        pipeline.clock.update();
        let now = mono_ns();
        let interval_ns = now.saturating_sub(self.read_ns.replace(now));
        let span = Span { time: pipeline.clock.moment(now), interval_ns };
        aggregate.borrow_mut().print(&self.loaded, span, &mut |summary| pipeline.summary(summary))
    }
}
