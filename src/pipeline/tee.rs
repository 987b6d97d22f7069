//! The outputs, each with its own sink, writer and counters. Every event goes to all that have events, every summary to the others.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};

use rustix::io::Errno;

use crate::accounting::{Accounting, OutputAccount};
use crate::config::Content;
use crate::decode::Event;
use crate::sink::{Note, Sink, Stage};
use crate::table::Moment;
use crate::table::summary::Summary;

/// An output: a sink on its writer.
pub struct Branch {
    pub content: Content,
    /// Name of the format.
    pub format: &'static str,
    /// The file as it is printed; `None`: standard output.
    pub path: Option<String>,
    /// If it cannot be written, the run ends.
    pub essential: bool,
    pub sink: Box<dyn Sink>,
}

/// An output, and what became of its events.
struct State {
    branch: Branch,
    /// Events, or rows of summaries, and among them records that are not valid.
    received: u64,
    malformed: u64,
    written: u64,
    /// What the sink has not written yet: where in the output each event ends, or each summary and its number of rows.
    unwritten: VecDeque<(u64, u32)>,
    error: Option<io::Error>,
    reported: bool,
}

/// Why an output ended.
pub struct Failure<'t> {
    /// `None`: standard output.
    pub path: Option<&'t str>,
    pub error: &'t io::Error,
    pub essential: bool,
}

impl Failure<'_> {
    /// The reader went away, or the user forced the end: no error to report.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        matches!(self.error.kind(), ErrorKind::BrokenPipe | ErrorKind::TimedOut)
    }

    /// `cannot write events.csv`.
    #[must_use]
    pub fn what(&self) -> String {
        format!("cannot write {}", self.path.unwrap_or("the output"))
    }
}

/// All outputs.
pub struct Tee {
    states: Vec<State>,
    /// Outputs that failed, in that order.
    failed: Vec<usize>,
    /// The event types of events that no output has written yet, in order.
    pending: VecDeque<usize>,
    /// The events that the pending ones follow.
    emitted: u64,
}

impl Tee {
    #[must_use]
    pub fn new(branches: Vec<Branch>) -> Self {
        let state = |branch| State {
            branch,
            received: 0,
            malformed: 0,
            written: 0,
            unwritten: VecDeque::new(),
            error: None,
            reported: false,
        };
        Tee {
            states: branches.into_iter().map(state).collect(),
            failed: Vec::new(),
            pending: VecDeque::new(),
            emitted: 0,
        }
    }

    /// Prints the headers.
    pub fn begin(&mut self) {
        self.each(None, |sink| sink.begin().and_then(|()| sink.flush()));
    }

    /// Prints an event; false if no output took it.
    pub fn event(&mut self, event: &Event<'_>) -> bool {
        let event_type = usize::from(event.event_type().number);
        let mut taken = false;
        for (index, state) in self.states.iter_mut().enumerate() {
            if state.branch.content != Content::Events {
                continue;
            }
            state.received += 1;
            if state.error.is_some() {
                continue;
            }
            match state.branch.sink.event(event) {
                Ok(()) => {
                    state.unwritten.push_back((state.branch.sink.progress().made, 1));
                    taken = true;
                }
                Err(error) => {
                    state.fail(error);
                    self.failed.push(index);
                }
            }
        }
        if taken {
            self.pending.push_back(event_type);
        }
        taken
    }

    /// Counts a record that is not valid.
    pub fn malformed(&mut self) {
        for state in self.of(Content::Events) {
            state.received += 1;
            state.malformed += 1;
        }
    }

    /// Prints a summary, whose rows count as events do.
    pub fn summary(&mut self, summary: &Summary<'_>) {
        let rows = u32::try_from(summary.lines.len()).unwrap_or(u32::MAX);
        self.of(Content::Summaries).for_each(|state| state.received += u64::from(rows));
        self.each(Some(Content::Summaries), |sink| sink.summary(summary));
        for state in self.of(Content::Summaries).filter(|state| state.error.is_none()) {
            state.unwritten.push_back((state.branch.sink.progress().made, rows));
        }
        self.flush();
    }

    /// Adds the accounting to the outputs.
    pub fn account(&mut self, stage: Stage, now: Moment, accounting: &Accounting) {
        self.each(None, |sink| sink.account(stage, now, accounting).and_then(|()| sink.flush()));
    }

    pub fn flush(&mut self) {
        self.each(None, |sink| sink.flush());
    }

    /// Writes also what the outputs hold back.
    pub fn settle(&mut self) {
        self.each(None, |sink| sink.settle());
    }

    /// Passes on what a recording keeps.
    pub fn note(&mut self, note: &Note<'_>) {
        self.each(Some(Content::Events), |sink| sink.note(note));
    }

    /// No events follow.
    pub fn finish(&mut self) {
        self.each(None, |sink| sink.finish());
    }

    /// An output's reader went away.
    pub fn hang_up(&mut self, index: usize) {
        if let Some(state) = self.states.get_mut(index)
            && state.error.is_none()
        {
            state.fail(Errno::PIPE.into());
            self.failed.push(index);
        }
    }

    fn of(&mut self, content: Content) -> impl Iterator<Item = &mut State> {
        self.states.iter_mut().filter(move |state| state.branch.content == content)
    }

    /// For each output that has not failed, or those of that content; keeps the first error, which ends it.
    fn each(
        &mut self,
        content: Option<Content>,
        mut write: impl FnMut(&mut dyn Sink) -> io::Result<()>,
    ) {
        for (index, state) in self.states.iter_mut().enumerate() {
            let other = content.is_some_and(|content| state.branch.content != content);
            if other || state.error.is_some() {
                continue;
            }
            let result = write(&mut *state.branch.sink);
            state.count_written();
            if let Err(error) = result {
                state.fail(error);
                self.failed.push(index);
            }
        }
    }

    /// Passes on the event types of the events that an output has written since the last call.
    pub fn take_emitted(&mut self, mut emit: impl FnMut(usize)) {
        let written = self.of(Content::Events).map(|state| state.written).max().unwrap_or(0);
        while self.emitted < written
            && let Some(event_type) = self.pending.pop_front()
        {
            emit(event_type);
            self.emitted += 1;
        }
    }

    /// The failure that ends the run: of an output that it depends on, or of the last one.
    #[must_use]
    pub fn failure(&self) -> Option<Failure<'_>> {
        self.states[self.decisive()?].failure()
    }

    fn decisive(&self) -> Option<usize> {
        let essential = |index: &usize| self.states[*index].branch.essential;
        let all = self.failed.len() == self.states.len();
        let last = self.failed.last().filter(|_| all);
        self.failed.iter().copied().find(essential).or(last.copied())
    }

    /// Other failures that were not returned before.
    pub fn new_failures(&mut self) -> Vec<Failure<'_>> {
        let decisive = self.decisive();
        let mut failures = Vec::new();
        for (index, state) in self.states.iter_mut().enumerate() {
            if Some(index) != decisive && state.error.is_some() && !state.reported {
                state.reported = true;
                failures.extend(state.failure());
            }
        }
        failures
    }

    /// The counters of each output, if there are several.
    #[must_use]
    pub fn accounts(&self) -> Vec<OutputAccount> {
        if self.states.len() < 2 {
            return Vec::new();
        }
        let account = |state: &State| OutputAccount {
            format: state.branch.format,
            path: state.branch.path.clone(),
            error: state.error.as_ref().map(ToString::to_string),
            received: state.received,
            written: state.written,
            malformed: state.malformed,
            late_lost: state.received.saturating_sub(state.written + state.malformed),
        };
        self.states.iter().map(account).collect()
    }
}

impl State {
    fn count_written(&mut self) {
        let written = self.branch.sink.progress().written;
        while let Some(&(end, count)) = self.unwritten.front()
            && end <= written
        {
            self.written += u64::from(count);
            self.unwritten.pop_front();
        }
    }

    /// Its last write may have been successful in part.
    fn fail(&mut self, error: io::Error) {
        self.count_written();
        self.error = Some(error);
    }

    fn failure(&self) -> Option<Failure<'_>> {
        let Branch { path, essential, .. } = &self.branch;
        let error = self.error.as_ref()?;
        Some(Failure { path: path.as_deref(), error, essential: *essential })
    }
}
