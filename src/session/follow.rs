//! The loop of a trace: takes records, and handles what else is ready or due.

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Result;

use super::child::Child;
use super::destinations::Opened;
use super::event_loop::{EventLoop, Interest};
use super::scan::{MODULE_TICK, OWNER_TICK, missing_modules};
use super::trace::Trace;
use super::{growth, listen, priority, service};
use crate::pipeline::Pipeline;
use crate::pipeline::source::Source;
use crate::sink::{FLUSH, Stage};

/// What the loop waits for. At the same time, the first of these comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Token {
    /// Records arrived.
    Records,
    /// The command exited.
    Child,
    /// The reader of that output went away.
    Output(usize),
    Signal,
    /// `--duration` is over.
    End,
    /// `--stats`.
    Stats,
    /// What was left out, each second.
    Counters,
    OwnerScan,
    ListenSnapshot,
    Modules,
    /// A delayed output has to be flushed.
    Flush,
    /// `--interval`.
    Summary,
    /// A reader of metrics waits.
    Scrape,
    /// `--textfile` and `--otlp`.
    Interval,
    /// Idle series make room.
    Retire,
    /// The service manager wants to hear from us.
    Watchdog,
}

/// What the loop works on.
struct Following<'f, 'a> {
    source: &'f dyn Source,
    pipeline: &'f mut Pipeline<'a>,
    events: EventLoop<Token>,
    child: Option<&'f mut Child>,
    /// Owner scan requests that were served.
    served: u32,
    /// Modules that are not loaded.
    missing: Vec<&'static str>,
}

impl Trace<'_, '_> {
    /// A loop that waits for records, signals, and readers of the outputs that go away.
    pub(super) fn event_loop(&self, source: &dyn Source) -> Result<EventLoop<Token>> {
        let mut events = EventLoop::new()?;
        if let Some(fd) = source.fd() {
            // Edge-triggered: data in the buffer would otherwise end every nap at once.
            events.register(fd, Interest::BecomesReadable, Token::Records)?;
        }
        events.register(self.signals.file(), Interest::Readable, Token::Signal)?;
        for (index, output) in self.outputs.iter().enumerate() {
            if let Some(fd) = output.read_by_others() {
                events.register(fd, Interest::HangUp, Token::Output(index))?;
            }
        }
        if let Some(exporter) = self.exporter {
            exporter.begin_serving(&mut events)?;
        }
        Ok(events)
    }

    /// Runs the loop.
    pub(super) fn follow(
        &self,
        source: &dyn Source,
        pipeline: &mut Pipeline<'_>,
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
        if self.selection.groups.has_ca_state() {
            events.after(Token::Modules, MODULE_TICK);
        }
        if self.config.actions.record {
            events.every(Token::Counters, growth::TICK);
        }
        if let Some(interval) = self.interval() {
            events.every(Token::Summary, interval);
        }
        if self.outputs.iter().any(Opened::is_delayed) {
            events.every(Token::Flush, FLUSH);
        }
        let served = self.loaded.owner_scan_requests();
        let missing = missing_modules();
        let mut following = Following { source, pipeline, events, child, served, missing };
        self.restart_stats(&mut following);
        self.run_loop(&mut following)
    }

    fn run_loop(&self, following: &mut Following<'_, '_>) -> Result<()> {
        let source = following.source;
        let mut limit = Duration::ZERO;
        loop {
            let tokens = following.events.wait(limit)?;
            let pipeline = &mut *following.pipeline;
            let before = pipeline.received();
            pipeline.clock.update();
            let more = pipeline.consume(source)?;
            pipeline.flush();
            self.end_full_part(pipeline)?;
            self.report_failures(pipeline);
            let busy = pipeline.received() > before || pipeline.holds();
            if pipeline.done() {
                return Ok(());
            }
            for &token in &tokens {
                if self.handle(token, following)?.is_break() {
                    return Ok(());
                }
            }
            limit = match more {
                true => Duration::ZERO,
                false => source.before_wait(busy, tokens.contains(&Token::Records))?,
            };
        }
    }

    /// Breaks at the end of the trace.
    fn handle(&self, token: Token, following: &mut Following<'_, '_>) -> Result<ControlFlow<()>> {
        let Following { source, pipeline, events, child, .. } = following;
        match token {
            // All outputs are flushed in each turn.
            Token::Records | Token::Flush => {}
            Token::Child | Token::End => return Ok(ControlFlow::Break(())),
            Token::Output(index) => {
                pipeline.hang_up(index);
                if let Some(fd) = self.outputs.get(index).and_then(Opened::read_by_others) {
                    events.unregister(fd)?;
                }
                if pipeline.done() {
                    return Ok(ControlFlow::Break(()));
                }
                self.report_failures(pipeline);
            }
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
                if self.signals.take_reload() {
                    self.reload(events);
                }
                if self.signals.take_seal() {
                    pipeline.seal();
                    self.record_counters(pipeline)?;
                }
                if self.signals.take_stats() {
                    self.account(Stage::Interim, pipeline)?;
                    self.restart_stats(following);
                }
            }
            Token::Stats => {
                self.account(Stage::Interim, pipeline)?;
                self.restart_stats(following);
            }
            Token::Counters => {
                self.tell_counters(pipeline)?;
                if pipeline.done() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Token::OwnerScan => {
                events.at(token, self.serve_owner_scans(&mut following.served));
                self.warn_untraced_processes();
            }
            Token::ListenSnapshot => events.at(token, self.listen_snapshot()),
            Token::Modules => {
                events.at(token, self.check_modules(pipeline, &mut following.missing));
            }
            Token::Summary => {
                self.poll(*source, pipeline)?;
                self.print_summary(pipeline)?;
            }
            Token::Scrape => self.answer_scrape(pipeline)?,
            Token::Interval => self.export_at_interval(pipeline, events)?,
            Token::Retire => self.retire_series()?,
            Token::Watchdog => service::alive(),
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
