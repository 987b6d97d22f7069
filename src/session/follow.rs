//! The loop of a trace: takes records, and handles what else is ready or due.

use std::cell::RefCell;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::Result;

use super::child::Child;
use super::event_loop::{EventLoop, Interest};
use super::scan::{MODULE_TICK, OWNER_TICK, missing_modules};
use super::trace::Trace;
use super::{listen, priority};
use crate::loader::source::{Source, Wait};
use crate::pipeline::Pipeline;
use crate::sink::Stage;
use crate::stdio;

/// How long records may accumulate while many arrive.
const NAP: Duration = Duration::from_millis(10);
/// The longest wait without a deadline.
const FOREVER: Duration = Duration::from_secs(60);

/// What the loop waits for. At the same time, the first of these comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Token {
    /// Records arrived.
    Records,
    /// The command exited.
    Child,
    /// The reader of the output went away.
    Output,
    Signal,
    /// `--duration` is over.
    End,
    /// `--stats`.
    Stats,
    OwnerScan,
    ListenSnapshot,
    Modules,
    /// `--interval`.
    Summary,
}

/// What the loop works on.
struct Following<'f, 's> {
    source: &'f Source<'s>,
    pipeline: &'f RefCell<Pipeline>,
    events: EventLoop<Token>,
    child: Option<&'f mut Child>,
    /// Owner scan requests that were served.
    served: u32,
    /// Modules that are not loaded.
    missing: Vec<&'static str>,
}

impl Trace<'_, '_> {
    /// A loop that waits for records, signals, and the end of the output's reader.
    pub(super) fn event_loop(&self, source: &Source<'_>) -> Result<EventLoop<Token>> {
        let mut events = EventLoop::new()?;
        // Edge-triggered: data in the buffer would otherwise end every nap at once.
        events.register(source.fd(), Interest::BecomesReadable, Token::Records)?;
        events.register(self.signals.file(), Interest::Readable, Token::Signal)?;
        let stdout = io::stdout();
        if stdio::has_reader(stdout.as_fd()) {
            events.register(&stdout, Interest::HangUp, Token::Output)?;
        }
        Ok(events)
    }

    /// Runs the loop. Many records are taken every few ms; if they are few, the first one wakes the loop.
    pub(super) fn follow(
        &self,
        source: &Source<'_>,
        pipeline: &RefCell<Pipeline>,
        mut events: EventLoop<Token>,
        scans: bool,
        child: Option<&mut Child>,
    ) -> Result<()> {
        // After the command has started, which would inherit the niceness.
        priority::set(self.config.kernel_options.nice)?;
        self.announce();
        if let Some(duration) = self.config.limits.duration {
            events.after(Token::End, duration);
        }
        if scans {
            events.after(Token::OwnerScan, OWNER_TICK);
        }
        if self.listen_snapshots() {
            events.after(Token::ListenSnapshot, listen::TICK);
        }
        if self.selection.full {
            events.after(Token::Modules, MODULE_TICK);
        }
        if let Some(interval) = self.interval() {
            events.every(Token::Summary, interval);
        }
        let served = source.owner_scan_requests();
        let missing = missing_modules();
        let mut following = Following { source, pipeline, events, child, served, missing };
        self.restart_stats(&mut following);
        self.run_loop(&mut following)
    }

    fn run_loop(&self, following: &mut Following<'_, '_>) -> Result<()> {
        let (source, pipeline) = (following.source, following.pipeline);
        let mut limit = Duration::ZERO;
        let mut quiet_rounds = 0;
        loop {
            let tokens = following.events.wait(limit)?;
            let before = pipeline.borrow().received();
            pipeline.borrow_mut().clock.update();
            let more = source.consume()?;
            pipeline.borrow_mut().flush();
            let busy = pipeline.borrow().received() > before || source.holds();
            if pipeline.borrow().done() {
                return Ok(());
            }
            for &token in &tokens {
                if self.handle(token, following)?.is_break() {
                    return Ok(());
                }
            }
            if more {
                limit = Duration::ZERO;
                continue;
            }
            // Perhaps woken by a record behind an unfinished one, which will not wake the loop.
            if tokens.contains(&Token::Records) {
                quiet_rounds = 0;
            }
            // A record reserved before the programs saw the announcement does not wake the loop. So the first wait is short,
            // and only if it brought nothing may the next one be long.
            quiet_rounds = if busy { 0 } else { quiet_rounds + 1 };
            let how;
            (how, limit) = match quiet_rounds {
                0 => (Wait::Nap, NAP),
                1 => (Wait::Sleep, NAP),
                _ => (Wait::Sleep, FOREVER),
            };
            source.announce(how)?;
        }
    }

    /// Breaks at the end of the trace.
    fn handle(&self, token: Token, following: &mut Following<'_, '_>) -> Result<ControlFlow<()>> {
        let Following { source, pipeline, events, child, .. } = following;
        match token {
            Token::Records => {}
            Token::Child | Token::Output | Token::End => return Ok(ControlFlow::Break(())),
            Token::Signal => {
                self.signals.drain();
                if self.signals.forced_by().is_some() {
                    return Ok(ControlFlow::Break(()));
                }
                if self.signals.ended_by().is_some() {
                    let Some(child) = child else {
                        return Ok(ControlFlow::Break(()));
                    };
                    // It is traced until it exits, which may take some time.
                    child.terminate();
                }
                if self.signals.take_stats() {
                    self.account(Stage::Interim, source, pipeline)?;
                    self.restart_stats(following);
                }
            }
            Token::Stats => {
                self.account(Stage::Interim, source, pipeline)?;
                self.restart_stats(following);
            }
            Token::OwnerScan => {
                events.at(token, self.serve_owner_scans(source, &mut following.served));
                self.warn_untraced_processes();
            }
            Token::ListenSnapshot => events.at(token, self.listen_snapshot()),
            Token::Modules => {
                events.at(token, self.check_modules(pipeline, &mut following.missing));
            }
            Token::Summary => {
                self.poll(source)?;
                self.print_summary(pipeline)?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The next counters are due an interval after the last ones.
    fn restart_stats(&self, following: &mut Following<'_, '_>) {
        if let Some(every) = self.config.output.stats {
            following.events.after(Token::Stats, every);
        }
    }

    fn interval(&self) -> Option<Duration> {
        self.config.summary.as_ref().and_then(|summary| summary.interval)
    }
}
