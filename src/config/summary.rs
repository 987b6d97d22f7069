//! What is counted instead of printed.

use std::time::Duration;

use crate::table::summary::Scale;

/// Summaries, in place of events.
#[derive(Clone, Debug)]
pub struct SummaryOptions {
    /// One each; else one, at the end.
    pub interval: Option<Duration>,
    pub what: SummaryCommand,
}

#[derive(Clone, Debug)]
pub enum SummaryCommand {
    Rtt(Histograms),
    /// How long opening took.
    Connlat(Histograms),
    Top(Top),
    Listeners(Listeners),
    Retrans(Sums),
    Cong(Sums),
}

impl SummaryCommand {
    /// Rows of sums.
    #[must_use]
    pub fn sums(&self) -> Option<&Sums> {
        match self {
            SummaryCommand::Retrans(sums) | SummaryCommand::Cong(sums) => Some(sums),
            SummaryCommand::Rtt(_)
            | SummaryCommand::Connlat(_)
            | SummaryCommand::Top(_)
            | SummaryCommand::Listeners(_) => None,
        }
    }

    /// Rows of histograms.
    #[must_use]
    pub fn histograms(&self) -> Option<&Histograms> {
        match self {
            SummaryCommand::Rtt(histograms) | SummaryCommand::Connlat(histograms) => {
                Some(histograms)
            }
            SummaryCommand::Retrans(_)
            | SummaryCommand::Cong(_)
            | SummaryCommand::Top(_)
            | SummaryCommand::Listeners(_) => None,
        }
    }
}

/// What a row is of.
#[derive(Clone, Debug)]
pub struct Keys {
    /// None: one row.
    pub by: Vec<By>,
    /// Lengths of the networks that addresses are put together in.
    pub prefix: u8,
    pub prefix6: u8,
}

/// Rare events, added up.
#[derive(Clone, Debug)]
pub struct Sums {
    pub keys: Keys,
    /// Rows that there is room for.
    pub max_rows: u32,
}

/// Distributions of times.
#[derive(Clone, Debug)]
pub struct Histograms {
    /// Each has rows of its own.
    pub fields: Vec<TimeField>,
    /// Is there something to count at each packet?
    pub busy: bool,
    pub keys: Keys,
    pub scale: Scale,
    /// Rows that there is room for; none: as many as fit that key.
    pub max_rows: Option<u32>,
}

/// `top`
#[derive(Clone, Debug)]
pub struct Top {
    pub sort: Sort,
    /// So many rows at most.
    pub rows: Option<usize>,
}

/// `listeners`
#[derive(Clone, Debug)]
pub struct Listeners {
    /// So many rows at most.
    pub rows: Option<usize>,
}

/// What stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Bytes both ways.
    All,
    Tx,
    Rx,
    Retrans,
    Rtt,
}

/// A part of a row's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A connection, by its cookie.
    Conn,
    /// The same by its ends and its namespace.
    Ends,
    Laddr,
    Raddr,
    Lport,
    Rport,
    Cgroup,
    Netns,
    Cc,
}

/// Which time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeField {
    Srtt,
    MinRtt,
    Rttvar,
    Mdev,
    /// From connect() to ESTABLISHED.
    Latency,
    /// From connect() to its failure.
    Failed,
    /// On the server's side.
    Handshake,
    /// To be accepted.
    Wait,
}

impl TimeField {
    /// As the column of `probe`, `connect` or `accept` is called; but for attempts that failed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TimeField::Srtt => "srtt_us",
            TimeField::MinRtt => "min_rtt_us",
            TimeField::Rttvar => "rttvar_us",
            TimeField::Mdev => "mdev_us",
            TimeField::Latency => "latency_us",
            TimeField::Failed => "failed_us",
            TimeField::Handshake => "handshake_us",
            TimeField::Wait => "wait_us",
        }
    }

    /// What it is of, for people.
    #[must_use]
    pub fn of(self) -> &'static str {
        match self {
            TimeField::Srtt | TimeField::MinRtt | TimeField::Rttvar | TimeField::Mdev => "samples",
            TimeField::Latency => "connections opened",
            TimeField::Failed => "attempts failed",
            TimeField::Handshake | TimeField::Wait => "connections accepted",
        }
    }

    /// Is there one for each event, by which events are counted? An accepted connection has two times, of which one is.
    #[must_use]
    pub fn is_event(self) -> bool {
        self != TimeField::Wait
    }

    /// Is it told of only where there was one?
    #[must_use]
    pub fn is_rare(self) -> bool {
        self == TimeField::Failed
    }
}

impl Histograms {
    /// Few rows, at which all CPUs work: then each has its own.
    #[must_use]
    pub fn per_cpu(&self) -> bool {
        use By::{Cc, Cgroup, Laddr, Netns};
        self.busy && self.keys.by.iter().all(|by| matches!(by, Laddr | Cgroup | Netns | Cc))
    }

    /// May there be more keys than rows?
    #[must_use]
    pub fn many(&self) -> bool {
        !self.keys.by.is_empty() && !self.per_cpu()
    }

    /// How many rows there is room for.
    #[must_use]
    pub fn rows(&self) -> u32 {
        let fitting = match (self.keys.by.is_empty(), self.many()) {
            (true, _) => self.fields.len() as u32,
            (false, false) => 256,
            (false, true) => 8192,
        };
        self.max_rows.unwrap_or(fitting)
    }
}
