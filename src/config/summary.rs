//! Options of the commands that print summaries.

use std::time::Duration;

pub use super::observe::{Metric, Names, Observe, TopConnections, Trigger};
use crate::table::summary::{AggregateType, Scale};

#[derive(Clone, Debug)]
pub struct SummaryOptions {
    /// Time between summaries; `None`: one at the end.
    pub interval: Option<Duration>,
    pub aggregate: &'static AggregateType,
    pub rows: RowOptions,
}

/// Which rows there are, by the aggregate's source.
#[derive(Clone, Debug)]
pub enum RowOptions {
    Histograms(Histograms),
    Sums(Sums),
    Connections(Top),
    Listeners(Listeners),
    Limits(Limits),
    Observe(Observe),
}

impl RowOptions {
    /// Those of sums.
    #[must_use]
    pub fn sums(&self) -> Option<&Sums> {
        match self {
            RowOptions::Sums(sums) => Some(sums),
            _ => None,
        }
    }

    /// Whether rows are made by owner.
    #[must_use]
    pub fn by_owner(&self) -> bool {
        let keys = match self {
            RowOptions::Histograms(histograms) => &histograms.keys,
            RowOptions::Sums(sums) => &sums.keys,
            RowOptions::Observe(observe) if observe.top.is_some() => return true,
            RowOptions::Observe(observe) => &observe.keys,
            _ => return false,
        };
        keys.by.iter().any(|by| matches!(by, By::Pid | By::Comm))
    }

    /// Those of `observe`.
    #[must_use]
    pub fn observe(&self) -> Option<&Observe> {
        match self {
            RowOptions::Observe(observe) => Some(observe),
            _ => None,
        }
    }

    /// Those of histograms.
    #[must_use]
    pub fn histograms(&self) -> Option<&Histograms> {
        match self {
            RowOptions::Histograms(histograms) => Some(histograms),
            _ => None,
        }
    }
}

/// The grouping of rows.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Empty: a single row, unless it is by interface.
    pub by: Vec<By>,
    /// By interface, and its network namespace.
    pub iface: bool,
    /// Prefix length by which IPv4 addresses are grouped; `prefix6`: IPv6.
    pub prefix: u8,
    pub prefix6: u8,
}

impl Keys {
    /// Whether everything is in one row.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.by.is_empty() && !self.iface
    }
}

/// Sums of rare events.
#[derive(Clone, Debug)]
pub struct Sums {
    pub keys: Keys,
    /// The maximum number of rows.
    pub max_rows: u32,
}

/// Histograms of times.
#[derive(Clone, Debug)]
pub struct Histograms {
    /// Each has separate rows.
    pub fields: Vec<TimeField>,
    /// Updated on every packet.
    pub busy: bool,
    pub keys: Keys,
    pub scale: Scale,
    /// The maximum number of rows; `None`: a default for the key.
    pub max_rows: Option<u32>,
}

/// `top`
#[derive(Clone, Debug)]
pub struct Top {
    pub sort: Sort,
    /// The maximum number of rows to print.
    pub rows: Option<usize>,
    /// With what limited each connection.
    pub limits: bool,
}

/// `listeners`
#[derive(Clone, Debug)]
pub struct Listeners {
    /// The maximum number of rows to print.
    pub rows: Option<usize>,
}

/// `limits`
#[derive(Clone, Debug)]
pub struct Limits {
    /// Empty: a single row.
    pub by: Vec<LimitsBy>,
    /// Rows with a smaller share of time in other states than idle are not printed, in thousandths.
    pub min_share: u64,
    /// The maximum number of rows to print.
    pub rows: Option<usize>,
}

/// A part of the key of a row of `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitsBy {
    Conn,
    Pid,
    Comm,
    Cgroup,
    Laddr,
    Raddr,
    Lport,
    Rport,
    Netns,
    Cc,
}

/// The sort key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Bytes in both directions.
    All,
    Tx,
    Rx,
    Retrans,
    Rtt,
}

/// A part of a row's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A connection by its cookie.
    Conn,
    /// A connection by its two ends and its network namespace.
    Ends,
    Laddr,
    Raddr,
    Lport,
    Rport,
    Cgroup,
    Netns,
    Cc,
    Pid,
    Comm,
}

/// A time to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeField {
    Srtt,
    MinRtt,
    Rttvar,
    Mdev,
    /// The congestion window.
    Cwnd,
    /// Packets in flight.
    InFlight,
    /// The delivery rate, unless the application limited it.
    DeliveryRate,
    PacingRate,
    /// Bytes that are written and not sent.
    Unsent,
    /// From TCP to the driver.
    Queue,
    /// From connect() to ESTABLISHED.
    Latency,
    /// From connect() to its failure.
    Failed,
    /// The handshake, on the server side.
    Handshake,
    /// From the handshake to accept().
    Wait,
}

impl TimeField {
    /// The column of `probe`, `connect` or `accept`; failed attempts have their own name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TimeField::Srtt => "srtt_us",
            TimeField::MinRtt => "min_rtt_us",
            TimeField::Rttvar => "rttvar_us",
            TimeField::Mdev => "mdev_us",
            TimeField::Cwnd => "snd_cwnd",
            TimeField::InFlight => "packets_in_flight",
            TimeField::DeliveryRate => "delivery_rate_kbit_s",
            TimeField::PacingRate => "pacing_rate_kbit_s",
            TimeField::Unsent => "notsent_bytes",
            TimeField::Queue => "queue_us",
            TimeField::Latency => "latency_us",
            TimeField::Failed => "failed_us",
            TimeField::Handshake => "handshake_us",
            TimeField::Wait => "wait_us",
        }
    }

    /// What is counted, for the text format.
    #[must_use]
    pub fn of(self) -> &'static str {
        match self {
            TimeField::Queue => "packets",
            field if field.is_sample() => "samples",
            TimeField::Latency => "connections opened",
            TimeField::Failed => "attempts failed",
            _ => "connections accepted",
        }
    }

    /// Whether it is a value of a sample of `probe`.
    #[must_use]
    pub fn is_sample(self) -> bool {
        use TimeField::{
            Cwnd, DeliveryRate, InFlight, Mdev, MinRtt, PacingRate, Rttvar, Srtt, Unsent,
        };
        matches!(
            self,
            Srtt | MinRtt | Rttvar | Mdev | Cwnd | InFlight | DeliveryRate | PacingRate | Unsent
        )
    }

    /// Whether it is omitted if there are none.
    #[must_use]
    pub fn is_rare(self) -> bool {
        self == TimeField::Failed
    }
}

impl Histograms {
    /// Whether the field's count is that of events. A sample may have several values, and an accepted connection has two times, of
    /// which only one counts.
    #[must_use]
    pub fn counts_events(&self, field: TimeField) -> bool {
        let first = self.fields.iter().find(|field| field.is_sample());
        if field.is_sample() { first == Some(&field) } else { field != TimeField::Wait }
    }

    /// Whether each CPU has its own rows: for few rows that all CPUs update.
    #[must_use]
    pub fn per_cpu(&self) -> bool {
        use By::{Cc, Cgroup, Laddr, Netns};
        self.busy && self.keys.by.iter().all(|by| matches!(by, Laddr | Cgroup | Netns | Cc))
    }

    /// Whether the rows are an array, by field: what is updated on every packet needs no hash then.
    #[must_use]
    pub fn is_array(&self) -> bool {
        self.busy && self.keys.are_none()
    }

    /// Whether there may be more keys than rows.
    #[must_use]
    pub fn many(&self) -> bool {
        !self.keys.are_none() && !self.per_cpu()
    }

    /// The maximum number of rows.
    #[must_use]
    pub fn rows(&self) -> u32 {
        let fitting = match (self.keys.are_none(), self.many()) {
            (true, _) => self.fields.len() as u32,
            (false, false) => 256,
            (false, true) => 8192,
        };
        self.max_rows.unwrap_or(fitting)
    }
}
