//! The traced command: checks before it starts, and processes that it leaves behind.

use anyhow::{Result, bail};
use libbpf_rs::MapCore;

use super::child::Child;
use super::destinations::Opened;
use super::event_loop::{EventLoop, Interest};
use super::follow::Token;
use super::trace::Trace;
use crate::pipeline::Pipeline;
use crate::stdio::print_line;
use crate::summary::evictions;

impl Trace<'_, '_> {
    /// Starts the command, if any, unless the trace would fail or end at once.
    pub(super) fn start_command(
        &self,
        pipeline: &Pipeline<'_>,
        events: &mut EventLoop<Token>,
        child: &mut Option<Child>,
    ) -> Result<()> {
        let Some((program, args)) = self.config.command.split_first() else {
            return Ok(());
        };
        if self.processes().next().is_none() {
            bail!("cannot trace a command: the iterator over open files did not run");
        }
        if let Some(failure) = pipeline.failure() {
            bail!("{}: {}", failure.what(), failure.error);
        }
        self.outputs.iter().try_for_each(Opened::check)?;
        if self.signals.ended_by().is_some() {
            return Ok(());
        }
        let started = Child::spawn(program, args, self.signals, self.config.output.quiet)?;
        // From here on, any failure waits for it to exit.
        events.register(child.insert(started).pidfd(), Interest::Readable, Token::Child)
    }

    /// Waits for the command to exit, and warns of processes that continue.
    pub(super) fn end_command(&self, child: Option<&mut Child>) -> Result<Option<u8>> {
        let Some(child) = child else {
            return Ok(None);
        };
        let status = child.finish()?;
        // The timer may not have fired yet.
        self.warn_untraced_processes();
        // One entry is for the tracer itself.
        let left = self.processes().count().saturating_sub(1);
        if left > 0 {
            print_line(&format!(
                "warning: {} has exited; processes that it started and that continue untraced: {left}",
                child.program()
            ));
        }
        Ok(Some(status))
    }

    /// Warns early, and once, that some of the command's processes are not traced.
    pub(super) fn warn_untraced_processes(&self) {
        if self.warned_untraced.get() || self.config.command.is_empty() {
            return;
        }
        let evicted = evictions::evicted(&self.loaded.skel);
        if evicted.is_ok_and(|evicted| evicted.processes > 0) {
            self.warned_untraced.set(true);
            print_line(&format!(
                "warning: the command has more than {} processes at a time; the others are not traced: raise --max-conns",
                self.loaded.skel.maps.traced_pids.max_entries() - 1
            ));
        }
    }

    /// The traced processes: the command's, and the tracer itself.
    fn processes(&self) -> impl Iterator<Item = Vec<u8>> {
        self.loaded.skel.maps.traced_pids.keys()
    }
}
