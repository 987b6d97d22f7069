//! The formats: each turns rows and accounts into bytes, and knows no probe.

pub mod csv;
pub mod jsonl;
mod out;
mod summary;
pub mod template;
pub mod text;
mod time;

use std::io;

pub use self::out::Progress;
use crate::accounting::Accounting;
use crate::table::summary::Summary;
use crate::table::{Moment, Row};

/// When in the run an account is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// `--stats` or SIGUSR1.
    Interim,
    End,
}

/// A format. An error of the output ends the run; a closed pipe does so quietly.
pub trait Sink {
    /// Before the first event: titles.
    fn begin(&mut self) -> io::Result<()>;

    /// One event.
    fn event(&mut self, row: &dyn Row) -> io::Result<()>;

    /// What was counted in a time.
    fn summary(&mut self, summary: &Summary<'_>) -> io::Result<()>;

    /// The books, where the format can carry them; they are said on stderr too.
    fn account(&mut self, stage: Stage, now: Moment, accounting: &Accounting) -> io::Result<()>;

    /// After each batch: everything so far must reach the reader.
    fn flush(&mut self) -> io::Result<()>;

    /// How much there was of all that so far, and how much of it has been written.
    fn progress(&self) -> Progress;
}
