//! The flight recorder: keeps the newest parts of a recording, and seals them on a signal, a trigger, or at the end.

use std::fs::File;
use std::io;
use std::thread::JoinHandle;
use std::time::Instant;

use super::growth::size;
use super::output::print_line;
use super::parts::PartFiles;
use crate::config::Flight;
use crate::escape;
use crate::recording::join::join;

/// Why the parts are sealed, as in the name of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Signal,
    Trigger,
    Exit,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Reason::Signal => "signal",
            Reason::Trigger => "trigger",
            Reason::Exit => "exit",
        }
    }
}

/// What is to be sealed, and what is being sealed.
pub(super) struct FlightRecorder {
    options: Flight,
    /// When to seal, and why.
    due: Option<(Instant, Reason)>,
    /// When the trigger last made a file.
    triggered: Option<Instant>,
    /// Seals that are being written, and what went wrong with the others.
    sealing: Vec<JoinHandle<io::Result<()>>>,
    failed: io::Result<()>,
}

impl FlightRecorder {
    pub(super) fn new(options: &Flight) -> Self {
        FlightRecorder {
            options: options.clone(),
            due: None,
            triggered: None,
            sealing: Vec::new(),
            failed: Ok(()),
        }
    }

    /// An event was one to seal for. For the time of a file, others are in the file anyway.
    pub(super) fn trigger(&mut self) {
        let recent = |at: Instant| at.elapsed() < self.options.span;
        if self.due.is_none() && !self.triggered.is_some_and(recent) {
            let now = Instant::now();
            self.triggered = Some(now);
            self.due = Some((now + self.options.after, Reason::Trigger));
        }
    }

    /// Seals as soon as the counters are there.
    pub(super) fn request(&mut self, reason: Reason) {
        self.due = Some((Instant::now(), reason));
    }

    /// Why it is time to seal, if it is.
    pub(super) fn take_due(&mut self) -> Option<Reason> {
        let (_, reason) = self.due.take_if(|(at, _)| *at <= Instant::now())?;
        Some(reason)
    }

    /// Whether the end of the trace seals: what was triggered does, even if it has not waited long enough.
    pub(super) fn at_exit(&mut self) -> Option<Reason> {
        let pending = self.due.take().map(|(_, reason)| reason);
        pending.or(self.options.dump_on_exit.then_some(Reason::Exit))
    }

    /// Writes the parts that have ended into a file, on another thread.
    pub(super) fn seal(&mut self, parts: &PartFiles, reason: Reason) -> io::Result<()> {
        parts.make_room()?;
        let (path, file) = parts.create_sealed(reason.name()).map_err(other)?;
        let parts = parts.open_closed()?;
        let name = escape::path(&path);
        let write = move || {
            let sealed = sealed(parts, &file);
            match &sealed {
                Ok((records, bytes)) => {
                    print_line(&format!("sealed {records} events in {name}: {}", size(*bytes)));
                }
                Err(error) => print_line(&format!("warning: cannot seal {name}: {error}")),
            }
            sealed.map(drop)
        };
        self.join(JoinHandle::is_finished);
        self.sealing.push(std::thread::Builder::new().name("seal".into()).spawn(write)?);
        Ok(())
    }

    fn join(&mut self, which: fn(&JoinHandle<io::Result<()>>) -> bool) {
        for thread in self.sealing.extract_if(.., |thread| which(thread)) {
            let result = thread.join().unwrap_or_else(|_| Err(stopped()));
            self.failed = std::mem::replace(&mut self.failed, Ok(())).and(result);
        }
    }

    /// Waits for all seals.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.join(|_| true);
        std::mem::replace(&mut self.failed, Ok(()))
    }
}

fn other(error: anyhow::Error) -> io::Error {
    io::Error::other(format!("{error:#}"))
}

fn stopped() -> io::Error {
    io::Error::other("sealing stopped")
}

fn sealed(parts: Vec<File>, file: &File) -> io::Result<(u64, u64)> {
    let records = join(parts, file)?;
    Ok((records, file.metadata()?.len()))
}
