//! The output formats: each turns events and accounting into bytes, independent of event types.

pub mod csv;
pub mod jsonl;
mod out;
mod plan;
mod shares;
mod summary;
pub mod template;
pub mod text;
mod time;

use std::io::{self, Write};

pub use self::out::Progress;
use crate::accounting::Accounting;
use crate::decode::Event;
use crate::table::ColumnSet;
use crate::table::Moment;
use crate::table::summary::Summary;

/// When the accounting is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// `--stats` or SIGUSR1.
    Interim,
    End,
}

/// An output format.
#[derive(Debug)]
pub struct Format {
    /// As in `--output`, and the name of its module.
    pub name: &'static str,
    /// For the help.
    pub doc: &'static str,
    /// For people: it shows an event type's view, and may be in colour.
    pub is_text: bool,
    pub create: fn(Box<dyn Write>, &Columns) -> Box<dyn Sink>,
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Format {}

/// Every format.
pub static FORMATS: &[&Format] = &[&text::FORMAT, &jsonl::FORMAT, &csv::FORMAT];

/// The columns to print.
pub struct Columns {
    /// Of each event type.
    pub tables: Vec<ColumnSet>,
    /// Their titles are printed.
    pub header: bool,
    /// Their places on the terminal.
    pub layout: text::Layout,
}

/// Writes events and summaries in a format. An error ends the output.
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
