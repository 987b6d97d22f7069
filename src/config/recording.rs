//! Recordings: the one that is written, and those that are read.

use std::path::PathBuf;
use std::time::Duration;

use crate::predicate::Predicate;

/// The file that events are recorded in.
#[derive(Clone, Debug)]
pub struct Recording {
    pub path: PathBuf,
    /// Overwrite an existing file.
    pub force: bool,
    /// Show on a terminal how it grows.
    pub progress: bool,
    /// Divide it into several files.
    pub parts: Option<Parts>,
}

/// How a recording is divided.
#[derive(Clone, Debug)]
pub struct Parts {
    /// A part ends at this size …
    pub bytes: Option<u64>,
    /// … or age.
    pub age: Option<Duration>,
    pub keep: Keep,
    /// Overwrite existing files.
    pub force: bool,
    pub flight: Option<Flight>,
}

/// The parts that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    All,
    /// So many, the one that is written included.
    Newest(u32),
    /// Those that ended within this time.
    Span(Duration),
}

/// When a flight recorder seals what it keeps.
#[derive(Clone, Debug)]
pub struct Flight {
    pub span: Duration,
    /// An event for which this is true.
    pub trigger: Option<Predicate>,
    /// How long after that event.
    pub after: Duration,
    /// At the end of the trace.
    pub dump_on_exit: bool,
    /// The size of all files together: half of it for what is kept, half for what was sealed.
    pub most_bytes: Option<u64>,
}

/// Recordings to read events from, in place of the kernel.
#[derive(Clone, Debug, Default)]
pub struct Read {
    pub files: Vec<PathBuf>,
    /// Wait for more at the end of a file that is still written.
    pub tail: bool,
    /// Leave out what is before or after these times.
    pub since: Option<Point>,
    pub until: Option<Point>,
}

/// A time in recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// After the start of the trace; of several, the earliest.
    Elapsed(Duration),
    /// On the wall clock: ns since 1970.
    Wall(i128),
    /// Of a day in UTC: ns since midnight.
    OfDay(i128),
}

impl Read {
    /// Whether only a part of the time is read.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.since.is_some() || self.until.is_some()
    }

    /// Whether events come from files.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !self.files.is_empty()
    }
}
