//! Events from recordings: the same filters, conditions, limits and outputs as for live ones. It needs no rights.

mod counts;
mod filter;
pub(crate) mod input;
mod limits;
mod notices;
mod present;
pub(crate) mod report;
mod rewrite;
mod summaries;
mod twin;
pub(crate) mod window;

use std::fs::File;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use self::counts::Counters;
use self::input::{Input, Writer};
use self::limits::{Limiter, Outcome};
use self::summaries::Summaries;
use self::window::Window;
use super::columns;
use super::destinations;
use super::event_loop::{EventLoop, Interest};
use super::growth;
use super::output::print_line;
use super::recorder::RecordingFile;
use super::signals::{self, Signals};
use super::{anonymizer, assertions};
use crate::anonymize;
use crate::config::Config;
use crate::environment::Environment;
use crate::events::fields::{FieldGroups, RecordLayout};
use crate::events::{EVENT_TYPES, EventType};
use crate::pipeline::Pipeline;
use crate::pipeline::clock::Clock;
use crate::pipeline::tee::{Branch, Tee};
use crate::recording::header::AccountingFrame;
use crate::recording::reader::Step;
use crate::sink::Stage;

/// Records between two checks of signals and outputs.
const BATCH: u32 = 1024;
/// How often a file that is still written is read again.
const TAIL_TICK: Duration = Duration::from_millis(50);

/// What the loop waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    Signal,
}

/// A run over recordings.
struct Replay<'c> {
    config: &'c Config,
    inputs: Vec<Input>,
    limiter: Limiter,
    by_wall_clock: bool,
    counters: Counters,
    /// The time of the first record, on the clock that orders them.
    first_ns: Option<i128>,
    /// The input whose origin is in use.
    current: Option<usize>,
    /// It ended before the files did.
    stopped: bool,
    /// --since and --until
    window: Option<Window>,
    /// What is printed in place of events.
    summary: Option<&'c Summaries>,
}

/// Reads those event types from the files. The exit status is 1 if a part of a file could not be read.
pub(super) fn run(config: &Config, event_types: &[&'static EventType]) -> Result<u8> {
    let signals = Signals::start()?;
    let mut inputs = input::open(config)?;
    let event_types = present::event_types(config, event_types, &inputs)?;
    let mut selection = columns::select(&event_types, &config.output, |_| true)?;
    let checked = match &config.predicate {
        Some(predicate) => {
            let types = inputs.first().map(|input| &input.recording.types);
            let checked = predicate.check(&event_types, types)?;
            event_types.iter().for_each(|of| selection.read(of, &checked.columns(of)));
            Some(checked)
        }
        None => None,
    };
    super::check_limits(config, &event_types)?;
    if let Some(all) = &config.assertions {
        for Input { name, recording, .. } in &inputs {
            let has = |of: &'static EventType, column| recording.has(of, column);
            assertions::require(all, name, &recording.event_types(), has)?;
        }
        assertions::select(all, &event_types, &mut selection)?;
    }
    for input in &mut inputs {
        input.prepare(config, &event_types, checked.as_ref())?;
    }
    twin::prepare_lives(config, &event_types, &selection, &mut inputs)?;
    input::share_layouts(&mut inputs);
    present::note_absent(config, &selection, &inputs);
    let by_wall_clock = input::by_wall_clock(&inputs);
    input::set_starts(config, &mut inputs, by_wall_clock);
    let window = Window::new(&config.read, &inputs, by_wall_clock)?;
    if let Some(window) = window {
        inputs.iter_mut().try_for_each(|input| input.limit_to(window))?;
    }
    let key = config.anonymize.as_ref().map(anonymize::Options::load).transpose()?;
    let layout = RecordLayout::new(FieldGroups::ALL);
    let anonymizer = key.as_ref().map(|key| anonymizer(config, key, &layout));
    let header = match &config.output.recording {
        Some(_) => Some(rewrite::header(config, &event_types, &inputs, anonymizer.as_ref())?),
        None => None,
    };
    let recording = config.output.recording.as_ref().map(RecordingFile::open).transpose()?;
    let read: Vec<&File> = inputs.iter().map(Input::file).collect();
    recording.iter().try_for_each(|recording| recording.check_not_one_of(&read))?;
    let outputs = destinations::open(&config.output, signals, &read)?;
    recording.iter().try_for_each(RecordingFile::empty)?;
    let branches = outputs.iter().map(|opened| opened.branch(&config.output, &selection));
    let of_recording = recording.iter().zip(header);
    let branches = branches
        .chain(of_recording.map(|(recording, header)| rewrite::branch(recording, header, &inputs)));
    let mut branches: Vec<Branch> =
        branches.collect::<std::io::Result<_>>().context("cannot write the output")?;
    if let (Some(all), Some(input)) = (&config.assertions, inputs.first()) {
        branches.push(assertions::branch(all, &input.recording.header.environment)?);
    }
    let tee = Tee::new(branches);
    let clock = Clock::recorded(config.output.time, 0, &[]);
    let summary = Summaries::new(config, &event_types, &inputs)?;
    let aggregator = summary.as_ref().map(Summaries::aggregator);
    let count = config.limits.count;
    let mut pipeline = Pipeline::new(tee, Environment::default(), clock, count, aggregator);
    pipeline.set_anonymizer(anonymizer);
    let replay = Replay {
        config,
        limiter: Limiter::new(&config.limits, &inputs)?,
        inputs,
        by_wall_clock,
        counters: Counters::new(&event_types),
        first_ns: None,
        current: None,
        stopped: false,
        window,
        summary: summary.as_ref(),
    };
    let status = replay.run(&mut pipeline, signals)?;
    recording.iter().filter(|_| !config.output.quiet).for_each(|written| {
        print_line(&growth::recorded(written));
    });
    Ok(status)
}

impl Replay<'_> {
    fn run(mut self, pipeline: &mut Pipeline<'_>, signals: &'static Signals) -> Result<u8> {
        let mut events = EventLoop::new()?;
        events.register(signals.file(), Interest::Readable, Token::Signal)?;
        if !self.config.output.quiet {
            self.inputs.iter().for_each(|input| print_line(&report::opened(input)));
        }
        let mut result = Ok(());
        for index in 0..self.inputs.len() {
            result = result.and_then(|()| self.load(index, pipeline, signals, &mut events));
        }
        self.bring_in(0, pipeline);
        // Intervals of summaries begin with what is read.
        if self.window.is_some()
            && let Some(first) = input::earliest(&self.inputs)
        {
            pipeline.clock.set_recorded_ns(self.inputs[first].recording.time_ns());
        }
        pipeline.begin();
        if let Some(summary) = self.summary {
            summary.begin(pipeline);
        }
        let result = result.and_then(|()| self.pass_all(pipeline, signals, &mut events));
        self.set_end(pipeline);
        if let Some(summary) = self.summary {
            summary.print(pipeline);
        }
        self.account(Stage::End, pipeline);
        if let Some(current) = self.current.take() {
            pipeline.exchange(&mut self.inputs[current].origin);
        }
        self.report(pipeline);
        result?;
        match pipeline.failure() {
            Some(failure) if !failure.is_quiet() => {
                bail!("{}: {}", failure.what(), failure.error)
            }
            Some(failure)
                if self.config.output.strict
                    && failure.path.is_some()
                    && failure.error.kind() != ErrorKind::TimedOut =>
            {
                bail!("{}: {}", failure.what(), failure.error)
            }
            _ => {}
        }
        if let Some(signal) = signals.forced_by() {
            return Ok(signals::status(signal));
        }
        let damaged = !self.stopped && self.inputs.iter().any(report::is_damaged);
        Ok(u8::from(damaged))
    }

    /// Passes on all records, in order of time.
    fn pass_all(
        &mut self,
        pipeline: &mut Pipeline<'_>,
        signals: &'static Signals,
        events: &mut EventLoop<Token>,
    ) -> Result<()> {
        let mut left = BATCH;
        while let Some(index) = input::earliest(&self.inputs) {
            self.pass(index, pipeline);
            left -= 1;
            if left == 0 || pipeline.is_at_count() {
                left = BATCH;
                pipeline.flush();
                self.report_failures(pipeline);
                if signals.take_stats() {
                    self.account(Stage::Interim, pipeline);
                }
                self.stopped |= pipeline.done() || signals.ended_by().is_some();
            }
            if self.stopped {
                break;
            }
            self.load(index, pipeline, signals, events)?;
        }
        for index in 0..self.inputs.len() {
            let losses = self.inputs[index].new_losses();
            // A summary has no place for them.
            if self.summary.is_none() && !losses.is_empty() {
                self.bring_in(index, pipeline);
                notices::tell(&losses, pipeline);
            }
        }
        pipeline.flush();
        Ok(())
    }

    /// Passes on the next record of a file.
    fn pass(&mut self, index: usize, pipeline: &mut Pipeline<'_>) {
        let first_ns = *self.first_ns.get_or_insert(self.inputs[index].next_ns.unwrap_or_default());
        let now_ns = self.inputs[index].next_ns.unwrap_or_default();
        let since_ns = u128::try_from(now_ns - first_ns).unwrap_or_default();
        if self.config.limits.duration.is_some_and(|duration| since_ns > duration.as_nanos()) {
            self.stopped = true;
            return;
        }
        self.bring_in(index, pipeline);
        notices::tell(&self.inputs[index].new_losses(), pipeline);
        if let Some(summary) = self.summary {
            summary.print_due(self.inputs[index].recording.time_ns(), pipeline);
        }
        let input = &mut self.inputs[index];
        let mono_ns = input.recording.time_ns();
        let record = input.record();
        if self.limiter.is_needed()
            && let Some(event_type) =
                record.get(52).and_then(|number| EVENT_TYPES.get(usize::from(*number)))
        {
            let time_ns = u64::try_from(now_ns).unwrap_or(mono_ns);
            match self.limiter.pass(event_type, record, time_ns) {
                Outcome::Passes => {}
                limited => return self.counters.limit(event_type, limited),
            }
        }
        self.counters.pass(record);
        pipeline.clock.set_recorded_ns(mono_ns);
        pipeline.pass(record);
    }

    /// Has the pipeline read records as those of that file, with all that is known of them.
    fn bring_in(&mut self, index: usize, pipeline: &mut Pipeline<'_>) {
        let changed = self.inputs[index].is_changed();
        if self.current == Some(index) && !changed {
            return;
        }
        if let Some(current) = self.current.replace(index) {
            pipeline.exchange(&mut self.inputs[current].origin);
        }
        if changed {
            self.inputs[index].refresh();
        }
        pipeline.exchange(&mut self.inputs[index].origin);
    }

    /// Reads the next record of a file, and waits for it if the file is still written.
    fn load(
        &mut self,
        index: usize,
        pipeline: &mut Pipeline<'_>,
        signals: &'static Signals,
        events: &mut EventLoop<Token>,
    ) -> Result<()> {
        let mut writer = Writer::Writes;
        loop {
            let step = self.inputs[index].advance(self.by_wall_clock)?;
            let waits = step == Step::Wait && self.config.read.tail && writer == Writer::Writes;
            if step == Step::Record || !waits {
                self.inputs[index].is_over = step == Step::End;
                return Ok(());
            }
            // What it wrote before it went away is read once more.
            writer = self.inputs[index].writer();
            pipeline.flush();
            self.report_failures(pipeline);
            if pipeline.done() || signals.ended_by().is_some() {
                self.stopped = true;
                return Ok(());
            }
            if writer == Writer::Writes && !events.wait(TAIL_TICK)?.is_empty() {
                signals.drain();
            }
        }
    }

    fn report_failures(&self, pipeline: &mut Pipeline<'_>) {
        for failure in pipeline.new_failures() {
            let (what, error) = (failure.what(), failure.error);
            print_line(&format!("warning: {what}: {error}; this output ends"));
        }
    }

    /// The end of the recordings, if they were read to it.
    fn set_end(&self, pipeline: &Pipeline<'_>) {
        let ends =
            self.inputs.iter().filter_map(|input| Some(input.recording.end.as_ref()?.mono_ns));
        let is_whole = !self.stopped && !self.window.is_some_and(|window| window.ends());
        if let Some(end_ns) = ends.max().filter(|_| is_whole) {
            pipeline.clock.set_recorded_ns(end_ns);
        }
    }

    /// Prints the counters: those of the recordings, and what became of their records here.
    fn account(&self, stage: Stage, pipeline: &mut Pipeline<'_>) {
        match stage {
            Stage::End => pipeline.finish(),
            Stage::Interim => pipeline.settle(),
        }
        let partial = self.stopped || self.window.is_some() || stage == Stage::Interim;
        let counts = self.counters.kernel(&self.inputs, partial);
        let (late, evicted) = counts::late_and_evicted(&self.inputs);
        let mut accounting = pipeline.accounting(stage, self.config.actions, &counts, evicted);
        accounting.late = late;
        if stage == Stage::End {
            let ended = |input: &Input| input.recording.end.as_ref()?.error.clone();
            let error = self.inputs.iter().find_map(ended);
            let losses: Vec<AccountingFrame> =
                self.inputs.iter().flat_map(Input::losses).cloned().collect();
            pipeline.note_sources(&losses, error.as_deref());
        }
        pipeline.account(stage, &accounting);
        self.report_failures(pipeline);
        if !self.config.output.quiet {
            accounting.lines().iter().for_each(|line| print_line(line));
        } else if stage == Stage::End && pipeline.failure().is_none() {
            accounting.warning().iter().for_each(|line| print_line(line));
        }
    }

    /// What could not be read, which is said even with --quiet.
    fn report(&self, pipeline: &Pipeline<'_>) {
        if self.stopped || pipeline.failure().is_some() {
            return;
        }
        let names_file = self.inputs.len() > 1;
        for input in &self.inputs {
            report::missing(input, names_file).iter().for_each(|line| print_line(line));
            if !self.config.output.quiet {
                report::notes(input).iter().for_each(|line| print_line(line));
            }
        }
    }
}
