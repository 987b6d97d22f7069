//! Rows of the table: a connection at the end of an interval.

use std::cmp::Ordering;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

use super::number;
use crate::escape;
use crate::events::ca::until_nul;
use crate::events::connection::ConnectionRecord;
use crate::events::names::{CA_STATES, INFINITE_SSTHRESH, LIMIT_CAUSES, TCP_STATES};
use crate::skel::ConnSnapshot;
use crate::summary::top::{ConnectionRow, RETRANS, RX, TX};

const SECOND_NS: u128 = 1_000_000_000;

/// Columns that the samples of a recording do not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing(u32);

impl Missing {
    pub fn add(&mut self, column: Column) {
        self.0 |= 1 << column as u32;
    }

    #[must_use]
    pub fn has(self, column: Column) -> bool {
        self.0 & (1 << column as u32) != 0
    }
}

/// A connection.
#[derive(Clone)]
pub struct Row {
    /// The same in each interval.
    pub id: u64,
    pub last: Rc<ConnSnapshot>,
    /// Bytes per second in the interval.
    pub tx_rate: u64,
    pub rx_rate: u64,
    /// Segments in the interval.
    pub retrans: u64,
    /// What limited it longest in the interval.
    pub limit: Option<Limit>,
    pub missing: Missing,
}

/// A cause of `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its number.
    pub cause: usize,
    pub percent: u64,
}

impl Limit {
    /// The one with the most time; `None` if no time is known.
    #[must_use]
    pub fn main(ns: &[u64]) -> Option<Self> {
        let sum: u128 = ns.iter().map(|ns| u128::from(*ns)).sum();
        let (cause, most) = ns.iter().enumerate().rev().max_by_key(|(_, ns)| **ns)?;
        let percent = (u128::from(*most) * 100 + sum / 2).checked_div(sum)?;
        Some(Limit { cause, percent: u64::try_from(percent).unwrap_or_default() })
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        LIMIT_CAUSES.get(self.cause).copied().unwrap_or("?")
    }
}

impl Row {
    #[must_use]
    pub fn new(id: u64, row: ConnectionRow, interval_ns: u64) -> Self {
        let counts = row.counts.0;
        let counts = [counts[TX], counts[RX], counts[RETRANS]];
        Row::of(id, row.gauges, counts, interval_ns)
    }

    /// Of a snapshot, and the bytes sent and received and the segments retransmitted in the interval.
    #[must_use]
    pub fn of(id: u64, last: Rc<ConnSnapshot>, counts: [u64; 3], interval_ns: u64) -> Self {
        let [tx, rx, retrans] = counts;
        let rate = |bytes: u64| {
            let rate = u128::from(bytes) * SECOND_NS / u128::from(interval_ns.max(1));
            u64::try_from(rate).unwrap_or(u64::MAX)
        };
        Row {
            id,
            last,
            tx_rate: rate(tx),
            rx_rate: rate(rx),
            retrans,
            limit: None,
            missing: Missing::default(),
        }
    }

    /// For expressions.
    #[must_use]
    pub fn record(&self) -> ConnectionRecord {
        ConnectionRecord {
            snapshot: *self.last,
            tx_rate: self.tx_rate,
            rx_rate: self.rx_rate,
            retrans_segs: self.retrans,
            limit: self.limit.map_or(u64::MAX, |limit| limit.cause as u64),
        }
    }

    #[must_use]
    pub fn cookie(&self) -> u64 {
        self.last.event.head.cookie
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.last.closed != 0
    }

    /// Name and ID of the process; `-` if it is not known. No control characters.
    #[must_use]
    pub fn process(&self) -> String {
        let owner = &self.last.event.owner;
        if owner.pid == 0 {
            return "-".to_owned();
        }
        format!("{} {}", shown(&owner.comm), owner.pid)
    }

    /// `-` if it is not known.
    #[must_use]
    pub fn cc(&self) -> String {
        match until_nul(&self.last.ca_name) {
            [] => "-".to_owned(),
            name => shown(name),
        }
    }

    #[must_use]
    pub fn local(&self) -> (IpAddr, u16) {
        let head = &self.last.event.head;
        (Ipv6Addr::from(head.saddr).to_canonical(), head.sport)
    }

    #[must_use]
    pub fn peer(&self) -> (IpAddr, u16) {
        let head = &self.last.event.head;
        (Ipv6Addr::from(head.daddr).to_canonical(), head.dport)
    }

    #[must_use]
    pub fn state(&self) -> &'static str {
        TCP_STATES.get(usize::from(self.last.event.tcp.state)).copied().unwrap_or("?")
    }

    #[must_use]
    pub fn ca_state(&self) -> &'static str {
        CA_STATES.get(usize::from(self.last.event.tcp.ca_state)).copied().unwrap_or("?")
    }

    #[must_use]
    pub fn ssthresh(&self) -> Option<u64> {
        let ssthresh = u64::from(self.last.event.tcp.snd_ssthresh);
        Some(ssthresh).filter(|ssthresh| *ssthresh < INFINITE_SSTHRESH)
    }

    #[must_use]
    pub fn in_flight(&self) -> u64 {
        let tcp = &self.last.event.tcp;
        let left = u64::from(tcp.sacked_out) + u64::from(tcp.lost_out);
        (u64::from(tcp.packets_out) + u64::from(tcp.retrans_out)).saturating_sub(left)
    }
}

/// `10.0.0.1:443`, `[::1]:443`.
#[must_use]
pub fn end((address, port): (IpAddr, u16)) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}:{port}"),
        IpAddr::V6(address) => format!("[{address}]:{port}"),
    }
}

fn shown(name: &[u8]) -> String {
    let mut text = Vec::new();
    escape::name(until_nul(name), &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// A column of the table, and what it is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Process,
    Local,
    LocalPort,
    Peer,
    State,
    Cc,
    CaState,
    Tx,
    Rx,
    Cwnd,
    Flight,
    Ssthresh,
    Srtt,
    Retrans,
    Total,
    Limit,
}

impl Column {
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Column::Process => "PROCESS",
            Column::Local => "LOCAL",
            Column::LocalPort => "LPORT",
            Column::Peer => "PEER",
            Column::State => "STATE",
            Column::Cc => "CC",
            Column::CaState => "CA",
            Column::Tx => "TX b/s",
            Column::Rx => "RX b/s",
            Column::Cwnd => "CWND",
            Column::Flight => "FLIGHT",
            Column::Ssthresh => "SSTHR",
            Column::Srtt => "SRTT",
            Column::Retrans => "RETR",
            Column::Total => "RETR*",
            Column::Limit => "LIMIT",
        }
    }

    /// Numbers are aligned right, and sorted from the largest.
    #[must_use]
    pub fn is_number(self) -> bool {
        use Column::{CaState, Cc, Limit, Local, Peer, Process, State};
        !matches!(self, Process | Local | Peer | State | Cc | CaState | Limit)
    }

    /// The text of its cell.
    #[must_use]
    pub fn cell(self, row: &Row) -> String {
        let tcp = &row.last.event.tcp;
        match self {
            _ if row.missing.has(self) => "-".to_owned(),
            Column::Process => row.process(),
            Column::Local => end(row.local()),
            Column::LocalPort => row.local().1.to_string(),
            Column::Peer => end(row.peer()),
            Column::State if row.is_closed() => "ended".to_owned(),
            Column::State => row.state().to_owned(),
            Column::Cc => row.cc(),
            Column::CaState => row.ca_state().to_owned(),
            Column::Tx => number::bits(row.tx_rate),
            Column::Rx => number::bits(row.rx_rate),
            Column::Cwnd => number::count(tcp.snd_cwnd.into()),
            Column::Flight => number::count(row.in_flight()),
            Column::Ssthresh => row.ssthresh().map_or("-".to_owned(), number::count),
            Column::Srtt if tcp.srtt_us == 0 => "-".to_owned(),
            Column::Srtt => number::micros(tcp.srtt_us.into()),
            Column::Retrans => number::count(row.retrans),
            Column::Total => number::count(tcp.total_retrans.into()),
            Column::Limit => row
                .limit
                .map_or("-".to_owned(), |limit| format!("{} {}%", limit.name(), limit.percent)),
        }
    }

    /// Ascending.
    fn compare(self, a: &Row, b: &Row) -> Ordering {
        if self.is_number() {
            return self.number(a).cmp(&self.number(b));
        }
        match self {
            Column::Local => a.local().cmp(&b.local()),
            Column::Peer => a.peer().cmp(&b.peer()),
            _ => self.cell(a).cmp(&self.cell(b)),
        }
    }

    fn number(self, row: &Row) -> u64 {
        let tcp = &row.last.event.tcp;
        match self {
            Column::LocalPort => row.local().1.into(),
            Column::Tx => row.tx_rate,
            Column::Rx => row.rx_rate,
            Column::Cwnd => tcp.snd_cwnd.into(),
            Column::Flight => row.in_flight(),
            Column::Ssthresh => row.ssthresh().unwrap_or(0),
            Column::Srtt => tcp.srtt_us.into(),
            Column::Retrans => row.retrans,
            Column::Total => tcp.total_retrans.into(),
            _ => 0,
        }
    }
}

/// The order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Bytes in both directions.
    Traffic,
    By(Column),
}

impl Sort {
    /// Sorts; numbers from the largest, texts from the first, and `reverse` the other way. Rows that are equal stay in the order in
    /// which the connections were found.
    pub fn sort(self, rows: &mut [Row], reverse: bool) {
        rows.sort_by(|a, b| {
            let (order, descends) = match self {
                Sort::Traffic => {
                    let all = |row: &Row| row.tx_rate.saturating_add(row.rx_rate);
                    (all(a).cmp(&all(b)), true)
                }
                Sort::By(column) => (column.compare(a, b), column.is_number()),
            };
            let order = if descends != reverse { order.reverse() } else { order };
            order.then(a.id.cmp(&b.id))
        });
    }
}
