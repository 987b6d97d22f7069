//! What is known of a connection.

use std::net::SocketAddr;

use super::causes::Causes;
use super::ends::Delay;
use super::series::{Column, SERIES, Words};

/// The two ends of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ends {
    pub local: SocketAddr,
    pub peer: SocketAddr,
}

impl Ends {
    /// As the other end has them.
    #[must_use]
    pub fn mirrored(self) -> Self {
        Ends { local: self.peer, peer: self.local }
    }
}

/// One end of a connection.
#[derive(Debug, Default)]
pub struct Connection {
    pub cookie: Option<u64>,
    pub ends: Option<Ends>,
    /// Name and ID of the process that holds the socket.
    pub process: Option<(String, u64)>,
    /// Congestion-control algorithms, in order of use.
    pub ca_names: Vec<String>,
    pub samples: Samples,
    pub events: Vec<Event>,
    pub gaps: Vec<Gap>,
    /// What limited it, and when.
    pub causes: Causes,
    /// The same connection, as its other end has it.
    pub other_end: Option<usize>,
    /// Events that found no room.
    pub more_events: u64,
    /// Packets with data that were handed to a driver.
    pub queued: Vec<Queued>,
    /// When the application has read data.
    pub reads_ns: Vec<u64>,
    /// Where the time of its data went, if the other end is known.
    pub delay: Option<Delay>,
}

/// A packet with data between TCP and the driver. Sequence numbers are distances from the first `snd_una`.
#[derive(Clone, Copy, Debug)]
pub struct Queued {
    /// As the driver got it.
    pub time_ns: u64,
    pub start: i64,
    pub end: i64,
    /// Since TCP handed it over.
    pub queue_ns: Option<u64>,
}

/// The largest numbers of `queue` events since the last sample.
#[derive(Clone, Copy, Debug, Default)]
pub struct Queueing {
    pub queue_us: Option<u64>,
    pub qdisc_us: Option<u64>,
    pub backlog_bytes: Option<u64>,
}

/// State at packets, before each was processed.
#[derive(Debug)]
pub struct Samples {
    /// On the monotonic clock of the host.
    pub time_ns: Vec<u64>,
    /// By their place in [`SERIES`].
    pub columns: Vec<Column>,
    pub words: Vec<Words>,
    /// The newest raw sequence number and its distance from the first, to follow wraps.
    pub sequence: Option<(u32, i64)>,
    /// Samples that were read; more than there are here if they were thinned.
    pub read: u64,
    pub queueing: Queueing,
}

impl Default for Samples {
    fn default() -> Self {
        Samples {
            time_ns: Vec::new(),
            columns: vec![Column::default(); SERIES.len()],
            words: vec![Words::default(); SERIES.len()],
            sequence: None,
            read: 0,
            queueing: Queueing::default(),
        }
    }
}

impl Samples {
    #[must_use]
    pub fn len(&self) -> usize {
        self.time_ns.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.time_ns.is_empty()
    }

    /// A column by its name; an empty one if it is not in [`SERIES`].
    #[must_use]
    pub fn column(&self, name: &str) -> &Column {
        static NONE: Column = Column::none();
        self.columns.get(super::series::at(name)).unwrap_or(&NONE)
    }

    /// The word of a row.
    #[must_use]
    pub fn word(&self, name: &str, row: usize) -> Option<&str> {
        let at = super::series::at(name);
        let number = self.columns.get(at)?.get(row)?;
        Some(self.words.get(at)?.get(number))
    }

    /// The distance of a sequence number from the first `snd_una`.
    #[must_use]
    pub fn offset(&self, sequence: u32) -> Option<i64> {
        let (raw, offset) = self.sequence?;
        Some(offset + i64::from(sequence.wrapping_sub(raw).cast_signed()))
    }
}

impl Connection {
    /// The time that the page counts from: the first sample, or else the first event.
    #[must_use]
    pub fn start_ns(&self) -> u64 {
        let first_event = || self.events.first().map(|event| event.time_ns);
        self.samples.time_ns.first().copied().or_else(first_event).unwrap_or_default()
    }

    /// From the first to the last sample, in ns.
    #[must_use]
    pub fn duration_ns(&self) -> u64 {
        let last = self.samples.time_ns.last().copied().unwrap_or_default();
        last.saturating_sub(self.samples.time_ns.first().copied().unwrap_or_default())
    }
}

/// Where samples are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The sample after it.
    pub row: usize,
    /// Segments that came in the meantime.
    pub packets: u64,
    /// A part of the file could not be read.
    pub damaged: bool,
}

/// What happened to a connection, apart from samples.
#[derive(Clone, Debug)]
pub struct Event {
    pub time_ns: u64,
    /// How the page marks it.
    pub mark: Mark,
    /// In words.
    pub title: String,
    pub detail: String,
    /// The first byte of a packet: its distance from the first `snd_una`.
    pub offset: Option<i64>,
    /// Payload.
    pub len: Option<u64>,
    pub segs: u64,
    /// The reason, class or state that is counted.
    pub class: String,
    /// The event in the same list that follows from it, or that it follows from.
    pub partner: Option<usize>,
}

/// Types of marks. Their numbers are part of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    Drop,
    /// Of a packet without data that the peer sent.
    AckDrop,
    /// Of a packet on its way in, whose sender is not in the recording.
    DropIn,
    RetransmitFast,
    /// In Loss, after the timeout itself.
    RetransmitLoss,
    RetransmitTimeout,
    RetransmitProbe,
    RetransmitOther,
    Spurious,
    Reset,
    CaState,
    ZeroWindow,
    State,
    Other,
}

/// Names of the groups that the page filters by, and which marks are in each, in the order of their numbers.
pub const MARKS: [(Mark, &str, &str); 14] = [
    (Mark::Drop, "drop", "drops"),
    (Mark::AckDrop, "ack_drop", "ACK drops"),
    (Mark::DropIn, "drop_in", "incoming drops"),
    (Mark::RetransmitFast, "fast", "retransmissions"),
    (Mark::RetransmitLoss, "slow_start", "retransmissions"),
    (Mark::RetransmitTimeout, "rto", "retransmissions"),
    (Mark::RetransmitProbe, "tlp", "retransmissions"),
    (Mark::RetransmitOther, "other", "retransmissions"),
    (Mark::Spurious, "spurious", "spurious"),
    (Mark::Reset, "reset", "resets"),
    (Mark::CaState, "ca_state", "CA state"),
    (Mark::ZeroWindow, "zero_window", "zero window"),
    (Mark::State, "state", "TCP state"),
    (Mark::Other, "other_event", "other"),
];

impl Mark {
    /// Its number in the page.
    #[must_use]
    pub fn number(self) -> usize {
        MARKS.iter().position(|(mark, ..)| *mark == self).unwrap_or_default()
    }

    #[must_use]
    pub fn is_retransmission(self) -> bool {
        (Mark::RetransmitFast..=Mark::RetransmitOther).contains(&self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_wrap() {
        let samples = Samples { sequence: Some((u32::MAX - 9, 1000)), ..Samples::default() };
        assert_eq!(samples.offset(u32::MAX - 9), Some(1000));
        assert_eq!(samples.offset(10), Some(1020));
        assert_eq!(samples.offset(u32::MAX - 109), Some(900));
        assert_eq!(Samples::default().offset(1), None);
    }

    #[test]
    fn marks_have_numbers_of_their_own() {
        for (at, (mark, ..)) in MARKS.iter().enumerate() {
            assert_eq!(mark.number(), at);
        }
    }
}
