//! What is in a recording.

use std::collections::HashSet;
use std::io;

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::frames::{Bytes, Gap};
use super::header::{AccountingFrame, Header};
use super::reader::{Recording, Step};
use crate::accounting::Counts;
use crate::events::EVENT_TYPES;

/// Connections that are counted one by one.
const MOST_CONNECTIONS: usize = 1 << 22;
/// Of an identity: cookie, addresses and ports.
const CONNECTION: std::ops::Range<usize> = 0..44;

/// All of a file.
#[derive(Debug)]
pub struct Info {
    pub header: Header,
    pub bytes: u64,
    pub frames: u64,
    /// The wall clock at the start of the trace, at the first and at the last record, and at the end.
    pub start_ns: i64,
    pub first_ns: Option<i64>,
    pub last_ns: Option<i64>,
    pub end_ns: Option<i64>,
    pub events: Vec<EventInfo>,
    /// Records of event types that this program does not know.
    pub unknown: u64,
    pub connections: u64,
    /// There are more of them.
    pub more_connections: bool,
    /// How it ended.
    pub ending: Ending,
    pub accounting: Option<AccountingFrame>,
    pub losses: Vec<AccountingFrame>,
    pub gaps: Vec<Gap>,
    pub more_gaps: u64,
    /// Bytes behind the last frame.
    pub rest: u64,
    clock: Vec<super::header::ClockSample>,
}

/// Events of one type.
#[derive(Clone, Debug, Serialize)]
pub struct EventInfo {
    pub event_type: &'static str,
    /// Records in the file, as far as they can be read.
    pub records: u64,
    /// Records that were written, if the file says so.
    pub written: Option<u64>,
    /// Fields that they have.
    pub fields: usize,
    /// Counters of the trace.
    pub counts: Option<Counts>,
}

/// How a recording ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Complete,
    /// Before the trace did, and why.
    Error(String),
    /// It has no end: its tracer was killed, or still writes it.
    None,
}

impl Info {
    /// Reads a file to its end.
    pub fn of<B: Bytes>(mut recording: Recording<B>) -> io::Result<Self> {
        let mut connections: HashSet<u64> = HashSet::new();
        let mut more_connections = false;
        let step = recording.skim(|_, identity, _| {
            if connections.len() < MOST_CONNECTIONS {
                connections.insert(xxh3_64(&identity[CONNECTION]));
            } else {
                more_connections = true;
            }
        })?;
        let ending = match (&recording.end, step) {
            (Some(end), Step::End) => end.error.clone().map_or(Ending::Complete, Ending::Error),
            _ => Ending::None,
        };
        let events = events(&recording);
        let wall = |mono_ns: u64| wall_ns(&recording.clock, mono_ns);
        let (gaps, more_gaps) = recording.gaps();
        Ok(Info {
            bytes: recording.size()?,
            frames: recording.frame_count(),
            start_ns: wall(recording.header.environment.clock.start_ns),
            first_ns: recording.times_ns.map(|(first, _)| wall(first)),
            last_ns: recording.times_ns.map(|(_, last)| wall(last)),
            end_ns: recording.end.as_ref().map(|end| wall(end.mono_ns)),
            events,
            unknown: recording.unknown,
            connections: connections.len() as u64,
            more_connections,
            ending,
            gaps: gaps.to_vec(),
            more_gaps,
            rest: recording.rest()?,
            accounting: recording.accounting,
            losses: recording.losses,
            header: recording.header,
            clock: recording.clock,
        })
    }

    /// All records.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.events.iter().map(|event| event.records).sum()
    }

    /// A time on the wall clock of the machine.
    #[must_use]
    pub fn wall_ns(&self, mono_ns: u64) -> i64 {
        wall_ns(&self.clock, mono_ns)
    }
}

fn wall_ns(samples: &[super::header::ClockSample], mono_ns: u64) -> i64 {
    let before = samples.iter().rev().find(|sample| sample.after_ns < mono_ns);
    let offset = before.or(samples.first()).map_or(0, |sample| sample.wall_offset_ns);
    mono_ns.cast_signed().saturating_add(offset)
}

fn events<B: Bytes>(recording: &Recording<B>) -> Vec<EventInfo> {
    let of = |event_type: &&'static crate::events::EventType| {
        let name = event_type.name;
        let columns = (event_type.columns)();
        let environment = &recording.header.environment;
        let has = |column: &&&crate::table::Column| {
            recording.has(event_type, column)
                && column.need.is_none_or(|member| environment.has(member))
        };
        let counts = |frame: &AccountingFrame| frame.event_types.get(name).copied();
        EventInfo {
            event_type: name,
            records: recording.read[usize::from(event_type.number)],
            written: recording.end.as_ref().map(|end| end.written.get(name).copied().unwrap_or(0)),
            fields: columns.iter().filter(has).count(),
            counts: recording.accounting.as_ref().and_then(counts),
        }
    };
    let present = recording.event_types();
    EVENT_TYPES
        .iter()
        .filter(|event_type| present.iter().any(|known| known.number == event_type.number))
        .map(|event_type| of(&event_type))
        .collect()
}
