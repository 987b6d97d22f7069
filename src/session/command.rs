//! The command within its trace: what is checked before it runs, and what is left of it behind.

use std::cell::RefCell;

use anyhow::{Context, Result, bail};
use libbpf_rs::MapCore;

use super::child::Child;
use super::trace::Trace;
use super::wait::Waiter;
use crate::pipeline::Pipeline;
use crate::stdio::{Stdout, tell};
use crate::summary::evictions;

/// The programs that follow its processes, which they do until it has ended.
pub(super) fn follows_processes(program: &str) -> bool {
    program.starts_with("traced_pids_")
}

impl Trace<'_, '_> {
    /// Starts it, if there is one, and if nothing is known already that would end the trace.
    pub(super) fn start_command(
        &self,
        pipeline: &RefCell<Pipeline>,
        waiter: &Waiter<'_>,
        child: &mut Option<Child>,
    ) -> Result<()> {
        let Some((program, args)) = self.config.command.split_first() else {
            return Ok(());
        };
        if self.processes().next().is_none() {
            bail!(
                "the command's processes cannot be told from others, as the iterator over open files did not run"
            );
        }
        if let Some(error) = pipeline.borrow().error() {
            bail!("cannot write the output: {error}");
        }
        Stdout::new().and_then(|out| out.check()).context("cannot write the output")?;
        if self.signals.ended_by().is_some() {
            return Ok(());
        }
        let started = Child::spawn(program, args, self.signals, self.config.output.quiet)?;
        // Whatever fails now, its end is waited for.
        waiter.add_child(child.insert(started))
    }

    /// The command's end, and what goes on without it.
    pub(super) fn end_command(&self, child: Option<&mut Child>) -> Result<Option<u8>> {
        let Some(child) = child else {
            return Ok(None);
        };
        let status = child.finish()?;
        // It may have been too short for the timer.
        self.tell_of_untraced();
        // The tracer itself is among them.
        let left = self.processes().count().saturating_sub(1);
        if left > 0 {
            tell(&format!(
                "warning: {} has ended; of the processes that it started {left} go on, untraced",
                child.program()
            ));
        }
        Ok(Some(status))
    }

    /// At once and once: what misses some of the command's processes should not be taken for all of it until the end.
    pub(super) fn tell_of_untraced(&self) {
        if self.told_of_untraced.get() || self.config.command.is_empty() {
            return;
        }
        let evicted = evictions::evicted(&self.loaded.skel);
        if evicted.is_ok_and(|evicted| evicted.processes > 0) {
            self.told_of_untraced.set(true);
            tell(&format!(
                "warning: the command has more than {} processes at a time; the others are not traced (raise --max-conns)",
                self.loaded.skel.maps.traced_pids.max_entries() - 1
            ));
        }
    }

    /// The processes that are traced: the tracer's own number, and those of the command.
    fn processes(&self) -> impl Iterator<Item = Vec<u8>> {
        self.loaded.skel.maps.traced_pids.keys()
    }
}
