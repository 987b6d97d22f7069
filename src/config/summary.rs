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
    Rtt(Rtt),
    Top(Top),
    Retrans(Sums),
    Cong(Sums),
}

impl What {
    /// Rows of sums.
    #[must_use]
    pub fn sums(&self) -> Option<&Sums> {
        match self {
            What::Retrans(sums) | What::Cong(sums) => Some(sums),
            What::Rtt(_) | What::Top(_) => None,
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

/// `rtt`
#[derive(Clone, Debug)]
pub struct Rtt {
    pub field: RttField,
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
pub enum RttField {
    Srtt,
    MinRtt,
    Rttvar,
    Mdev,
}

impl RttField {
    /// As the column of `probe` is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RttField::Srtt => "srtt_us",
            RttField::MinRtt => "min_rtt_us",
            RttField::Rttvar => "rttvar_us",
            RttField::Mdev => "mdev_us",
        }
    }
}

impl Rtt {
    /// Few rows, at which all CPUs work: then each has its own.
    #[must_use]
    pub fn per_cpu(&self) -> bool {
        use By::{Cc, Cgroup, Laddr, Netns};
        self.keys.by.iter().all(|by| matches!(by, Laddr | Cgroup | Netns | Cc))
    }

    /// How many rows there is room for.
    #[must_use]
    pub fn rows(&self) -> u32 {
        let fitting = match (self.keys.by.is_empty(), self.per_cpu()) {
            (true, _) => 1,
            (false, true) => 256,
            (false, false) => 8192,
        };
        self.max_rows.unwrap_or(fitting)
    }
}
