//! What is counted instead of printed.

use std::time::Duration;

use crate::table::summary::Scale;

/// Summaries, in place of events.
#[derive(Clone, Debug)]
pub struct Summarise {
    /// One each; else one, at the end.
    pub interval: Option<Duration>,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Rtt(Histograms),
    /// How long opening took.
    Connlat(Histograms),
    Top(Top),
    Listeners(Listeners),
    Retrans(Sums),
    Cong(Sums),
}

impl What {
    /// Rows of sums.
    #[must_use]
    pub fn sums(&self) -> Option<&Sums> {
        match self {
            What::Retrans(sums) | What::Cong(sums) => Some(sums),
            What::Rtt(_) | What::Connlat(_) | What::Top(_) | What::Listeners(_) => None,
        }
    }

    /// Rows of histograms.
    #[must_use]
    pub fn histograms(&self) -> Option<&Histograms> {
        match self {
            What::Rtt(histograms) | What::Connlat(histograms) => Some(histograms),
            What::Retrans(_) | What::Cong(_) | What::Top(_) | What::Listeners(_) => None,
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
    pub fields: Vec<Field>,
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
pub enum Field {
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

impl Field {
    /// As the column of `probe`, `connect` or `accept` is called; but for attempts that failed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Field::Srtt => "srtt_us",
            Field::MinRtt => "min_rtt_us",
            Field::Rttvar => "rttvar_us",
            Field::Mdev => "mdev_us",
            Field::Latency => "latency_us",
            Field::Failed => "failed_us",
            Field::Handshake => "handshake_us",
            Field::Wait => "wait_us",
        }
    }

    /// What it is of, for people.
    #[must_use]
    pub fn of(self) -> &'static str {
        match self {
            Field::Srtt | Field::MinRtt | Field::Rttvar | Field::Mdev => "samples",
            Field::Latency => "connections opened",
            Field::Failed => "attempts failed",
            Field::Handshake | Field::Wait => "connections accepted",
        }
    }

    /// Is there one for each event, by which events are counted? An accepted connection has two times, of which one is.
    #[must_use]
    pub fn is_event(self) -> bool {
        self != Field::Wait
    }

    /// Is it told of only where there was one?
    #[must_use]
    pub fn is_rare(self) -> bool {
        self == Field::Failed
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
