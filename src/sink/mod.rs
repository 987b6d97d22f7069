//! The output formats: each turns events and accounting into bytes, independent of event types.

pub mod csv;
pub mod jsonl;
mod out;
mod plan;
mod summary;
pub mod template;
pub mod text;
mod time;

use std::io;

pub use self::out::Progress;
use crate::accounting::Accounting;
use crate::decode::Event;
use crate::table::Moment;
use crate::table::summary::Summary;

/// When the accounting is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// `--stats` or SIGUSR1.
    Interim,
    End,
}

/// An output format. An output error ends the run, quietly for a closed pipe.
pub trait Sink {
    /// Prints the header, before the first event.
    fn begin(&mut self) -> io::Result<()>;

    /// Prints an event.
    fn event(&mut self, event: &Event<'_>) -> io::Result<()>;

    /// Prints a summary.
    fn summary(&mut self, summary: &Summary<'_>) -> io::Result<()>;

    /// Prints the accounting if the format has a place for it; stderr has it in any case.
    fn account(&mut self, stage: Stage, now: Moment, accounting: &Accounting) -> io::Result<()>;

    /// Writes all output so far; called after each batch.
    fn flush(&mut self) -> io::Result<()>;

    /// Bytes of output so far, and those written.
    fn progress(&self) -> Progress;
}
