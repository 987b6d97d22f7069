//! The output formats: each turns events and accounting into bytes, independent of event types.

mod connections;
pub mod csv;
pub mod jsonl;
pub mod jsonl_zst;
mod out;
mod page;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod perfetto;
mod plan;
mod shares;
mod summary;
pub mod template;
pub mod text;
mod time;
pub mod xplot;

use std::io::{self, Write};
use std::time::Duration;

pub use self::out::Progress;
pub use self::time::TimeFormat;
use crate::accounting::{Accounting, Notice};
use crate::decode::Event;
use crate::events::ca::Layouts;
use crate::recording::header::{AccountingFrame, ClockSample};
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
    /// It has no place for summaries.
    pub events_only: bool,
    /// It keeps back output for up to [`FLUSH`].
    pub delayed: bool,
    /// The columns that it reads, whatever fields are requested. If there are none, it prints the requested ones.
    pub reads: &'static [&'static str],
    pub create: Create,
}

/// How the sink of a format is made.
#[derive(Clone, Copy, Debug)]
pub enum Create {
    /// For a file or a stream.
    Stream(fn(Box<dyn Write>, &Columns) -> Box<dyn Sink>),
    /// For a directory, in which it makes several files.
    Directory(fn(Box<dyn Files>, &Columns) -> Box<dyn Sink>),
}

impl Format {
    /// A format that prints the requested columns as they come.
    const fn lines(
        name: &'static str,
        doc: &'static str,
        create: fn(Box<dyn Write>, &Columns) -> Box<dyn Sink>,
    ) -> Self {
        Format {
            name,
            doc,
            is_text: false,
            events_only: false,
            delayed: false,
            reads: &[],
            create: Create::Stream(create),
        }
    }

    /// Whether it writes several files, and so needs a directory.
    #[must_use]
    pub fn needs_directory(&self) -> bool {
        matches!(self.create, Create::Directory(_))
    }
}

/// Makes the files of a directory.
pub trait Files {
    /// Opens a file, which is emptied unless it is to be continued.
    fn open(&self, name: &str, continued: bool) -> io::Result<Box<dyn Write>>;
}

/// The longest time that a sink keeps back output.
pub const FLUSH: Duration = Duration::from_secs(1);

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Format {}

/// Every format of this build.
pub static FORMATS: &[&Format] = &[
    &text::FORMAT,
    &jsonl::FORMAT,
    &csv::FORMAT,
    &jsonl_zst::FORMAT,
    &perfetto::FORMAT,
    &xplot::FORMAT,
    #[cfg(feature = "parquet")]
    &parquet::FORMAT,
];

/// Those in which a command prints a result of its own, for people and for programs.
pub static FOR_RESULTS: [&Format; 2] = [&text::FORMAT, &jsonl::FORMAT];

/// The columns to print.
pub struct Columns {
    /// Of each event type.
    pub tables: Vec<ColumnSet>,
    /// Their titles are printed.
    pub header: bool,
    /// Their places on the terminal.
    pub layout: text::Layout,
}

/// A note between events.
#[derive(Clone, Copy, Debug)]
pub enum Note<'n> {
    /// Where the wall clock is, ahead of the events that it is for.
    Clock(&'n [ClockSample]),
    /// Layouts from here on.
    Layouts(&'n Layouts),
    /// Events were left out before that time.
    LeftOut(Moment, &'n Notice),
    /// The counters; each second.
    Counters(&'n Accounting),
    /// Seal what a flight recorder keeps, with the next counters.
    Seal,
    /// The last event is one to seal for.
    Trigger,
    /// Of recordings that were read: when their events were lost, and why one of them ended early.
    Sources { losses: &'n [AccountingFrame], error: Option<&'n str> },
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

    /// Takes a note that stands between events, and keeps or prints it if the format can.
    fn note(&mut self, _: &Note<'_>) -> io::Result<()> {
        Ok(())
    }

    /// Writes the output so far; called after each batch, and for a delayed format at least each [`FLUSH`].
    fn flush(&mut self) -> io::Result<()>;

    /// Writes also what `flush` holds back, before the accounting.
    fn settle(&mut self) -> io::Result<()> {
        self.flush()
    }

    /// Writes all output so far. No events follow.
    fn finish(&mut self) -> io::Result<()> {
        self.settle()
    }

    /// Output so far, and how much of it is written, in bytes or another unit of the format.
    fn progress(&self) -> Progress;
}
