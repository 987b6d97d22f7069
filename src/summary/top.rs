//! `top`: traffic of each connection in the interval.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

use anyhow::Result;

use super::Span;
use super::key::column;
use super::totals::{CounterRow, RowCounts, RowTotals, RowsOf, Snapshot, SnapshotOf, TotalsTable};
use crate::config::summary::{Sort, Top};
use crate::events::ca::until_nul;
use crate::events::names::{TCP_STATES, name};
use crate::events::tcp_probe::copy;
use crate::loader::Loaded;
use crate::skel::ConnSnapshot;
use crate::table::Type::{Address, Bool, Text, Unsigned};
use crate::table::Unit::{Bytes, Microseconds, Segments};
use crate::table::summary::{
    AggregateSource, AggregateType, Form, Line, Summary, SummarySchema, ViewColumn, view,
};
use crate::table::{Column, Unit, Value};

pub static AGGREGATE: AggregateType = AggregateType {
    command: "top",
    doc: "Traffic of a connection in the interval. Idle connections have no record.",
    key: &KEY,
    columns: &COLUMNS,
    source: AggregateSource::Connections,
};

#[rustfmt::skip]
pub static KEY: [Column; 7] = [
    column("cookie", (Unsigned, Unit::None), "SO_COOKIE", "Socket cookie. Null if the kernel has not generated one."),
    column("family", (Text, Unit::None), "sk_family", "`ipv4` or `ipv6`. IPv4-mapped connections are `ipv4`."),
    column("saddr", (Address, Unit::None), "sk_rcv_saddr", "Local address."),
    column("sport", (Unsigned, Unit::None), "skc_num", "Local port."),
    column("daddr", (Address, Unit::None), "sk_daddr", "Address of the peer."),
    column("dport", (Unsigned, Unit::None), "skc_dport", "Port of the peer."),
    column("netns", (Unsigned, Unit::None), "sock_net(sk)->ns.inum", "Network namespace, as an inode number."),
];

#[rustfmt::skip]
pub static COLUMNS: [Column; 12] = [
    column("pid", (Unsigned, Unit::None), "task->tgid", "PID of the process that holds the socket. Null if not known."),
    column("comm", (Text, Unit::None), "task->group_leader->comm", "Name of that process. Bytes that are not UTF-8 are printed as `\\xNN`, a backslash as `\\x5c`. Null if `pid` is."),
    column("uid", (Unsigned, Unit::None), "sk_uid", "UID of the socket's owner."),
    column("cgroup_id", (Unsigned, Unit::None), "sk_cgrp_data", "cgroup v2 in which the socket was created."),
    column("state", (Text, Unit::None), "sk_state", "TCP state at the end of the interval."),
    column("closed", (Bool, Unit::None), "tcp:tcp_destroy_sock", "True if the connection ended in the interval: its last row."),
    column("rx_bytes", (Unsigned, Bytes), "tp->bytes_received", "Bytes received in order in the interval. A FIN counts as one, as in ss."),
    column("tx_bytes", (Unsigned, Bytes), "tp->bytes_acked", "Bytes sent and acknowledged in the interval. SYN and FIN count as one each, as in ss."),
    column("retrans_segs", (Unsigned, Segments), "tp->total_retrans", "Segments retransmitted in the interval."),
    column("snd_cwnd", (Unsigned, Segments), "tp->snd_cwnd", "Congestion window at the end of the interval."),
    column("srtt_us", (Unsigned, Microseconds), "tp->srtt_us >> 3", "Smoothed RTT at the end of the interval. Null before the first sample."),
    column("mptcp_token", (Unsigned, Unit::None), "mptcp_subflow_ctx(sk)->token", "Token of the MPTCP connection that the subflow belongs to, which `ss -M` prints in hexadecimal. Null if the socket is not a subflow."),
];

const VIEW: &[ViewColumn] = &[
    view("PID", "pid", 6, 1),
    view("COMM", "comm", 10, 1),
    view("LADDR:LPORT", "saddr:sport", 18, 1),
    view("RADDR:RPORT", "daddr:dport", 18, 1),
    view("RX_KB", "rx_bytes", 8, 1024),
    view("TX_KB", "tx_bytes", 8, 1024),
    view("CWND", "snd_cwnd", 5, 1),
    view("SRTT_US", "srtt_us", 7, 1),
    view("RETR", "retrans_segs", 4, 1),
];

/// What is counted of a connection.
pub const RX: usize = 0;
pub const TX: usize = 1;
pub const RETRANS: usize = 2;
const ENDED: usize = 3;

type Traffic = CounterRow<4>;
/// A connection's last snapshot, and its traffic.
pub type ConnectionRow = RowTotals<Rc<ConnSnapshot>, Traffic>;

/// A connection and its traffic since the trace began.
struct Connection {
    id: u64,
    last: Rc<ConnSnapshot>,
    traffic: Traffic,
}

impl Connection {
    /// The first snapshot. Earlier traffic of a connection that existed before does not count.
    fn new(id: u64, snapshot: ConnSnapshot) -> Self {
        let mut begun = Connection { id, last: Rc::new(snapshot), traffic: Traffic::default() };
        if snapshot.born != 0 {
            begun.add(&ConnSnapshot::default(), &snapshot);
        }
        begun.traffic.0[ENDED] = snapshot.closed.into();
        begun
    }

    /// The next snapshot. CounterRow of a socket that was disconnected and connected again start from zero.
    fn next(&mut self, snapshot: ConnSnapshot) {
        let before = self.last.clone();
        let (old, new) = (&before.event.tcp, &snapshot.event.tcp);
        if new.bytes_acked < old.bytes_acked || new.bytes_received < old.bytes_received {
            self.add(&ConnSnapshot::default(), &snapshot);
        } else {
            self.add(&before, &snapshot);
        }
        self.traffic.0[ENDED] += u64::from(snapshot.closed);
        let mut last = snapshot;
        // A closed socket keeps its last owner.
        let owner = before.event.owner;
        if last.event.owner.pid == 0 {
            (last.event.owner.pid, last.event.owner.comm) = (owner.pid, owner.comm);
        }
        self.last = Rc::new(last);
    }

    fn add(&mut self, from: &ConnSnapshot, to: &ConnSnapshot) {
        let (from, to) = (&from.event.tcp, &to.event.tcp);
        let traffic = &mut self.traffic.0;
        traffic[RX] += to.bytes_received.saturating_sub(from.bytes_received);
        traffic[TX] += to.bytes_acked.saturating_sub(from.bytes_acked);
        traffic[RETRANS] += u64::from(to.total_retrans.wrapping_sub(from.total_retrans));
    }

    fn row(&self) -> (u64, ConnectionRow) {
        (self.id, RowTotals { gauges: self.last.clone(), counts: self.traffic })
    }
}

fn moved(row: &ConnectionRow) -> bool {
    row.counts.0[..ENDED].iter().any(|n| *n > 0)
}

fn sorted_by(row: &ConnectionRow, sort: Sort) -> u64 {
    let traffic = &row.counts.0;
    match sort {
        Sort::All => traffic[RX] + traffic[TX],
        Sort::Tx => traffic[TX],
        Sort::Rx => traffic[RX],
        Sort::Retrans => traffic[RETRANS],
        Sort::Rtt => row.gauges.event.tcp.srtt_us.into(),
    }
}

/// True if both are of one connection, and not of another one of the same socket or address.
fn same(a: &ConnSnapshot, b: &ConnSnapshot) -> bool {
    let generation = a.generation == b.generation;
    let (a, b) = (&a.event.head, &b.event.head);
    let ends = |h: &crate::skel::Head| (h.saddr, h.sport, h.daddr, h.dport);
    let socket =
        if a.cookie != 0 && b.cookie != 0 { a.cookie == b.cookie } else { ends(a) == ends(b) };
    socket && generation
}

fn time(snapshot: &ConnSnapshot) -> u64 {
    snapshot.event.head.mono_ns
}

/// A connection's end may arrive after the next connection at its address was found, behind a record that another CPU had
/// not finished yet.
const LATE_NS: u64 = 1_000_000_000;

/// Open connections, by the socket's address, and those that ended in the interval.
pub struct ConnectionTable {
    options: Top,
    shape: SummarySchema,
    living: HashMap<u64, Connection>,
    /// Connections whose end had not arrived when another one was found at their address, and the time of that.
    displaced: HashMap<u64, Vec<(u64, Connection)>>,
    ended: Vec<Connection>,
    newest_ns: u64,
    next_id: u64,
    /// The traffic of connections that ended in earlier intervals.
    retired: Traffic,
}

impl ConnectionTable {
    #[must_use]
    pub fn new(options: &Top) -> Self {
        ConnectionTable {
            options: options.clone(),
            shape: SummarySchema {
                command: AGGREGATE.command,
                key: KEY.iter().collect(),
                columns: COLUMNS.iter().collect(),
                form: Form::Lines(VIEW.to_vec()),
            },
            living: HashMap::new(),
            displaced: HashMap::new(),
            ended: Vec::new(),
            newest_ns: 0,
            next_id: 0,
            retired: Traffic::default(),
        }
    }

    /// A snapshot belongs to the connection with its cookie, even if another one is at that address by now.
    fn take(&mut self, snapshot: ConnSnapshot) {
        self.newest_ns = self.newest_ns.max(time(&snapshot));
        if self.take_displaced(&snapshot) {
            return;
        }
        self.next_id += 1;
        let id = self.next_id;
        match self.living.get_mut(&snapshot.sk) {
            Some(known) if same(&known.last, &snapshot) => known.next(snapshot),
            // The end of an earlier connection, in no snapshot.
            Some(known) if snapshot.closed != 0 && time(&snapshot) < time(&known.last) => {
                self.ended.push(Connection::new(id, snapshot));
                return;
            }
            _ => {
                let begun = Connection::new(id, snapshot);
                if let Some(other) = self.living.insert(snapshot.sk, begun) {
                    self.displaced.entry(snapshot.sk).or_default().push((time(&snapshot), other));
                }
            }
        }
        if snapshot.closed != 0 {
            self.ended.extend(self.living.remove(&snapshot.sk));
        }
    }

    /// For displaced connections only an end can arrive: no file had them when their address was used again.
    fn take_displaced(&mut self, snapshot: &ConnSnapshot) -> bool {
        if snapshot.closed == 0 {
            return false;
        }
        let Some(here) = self.displaced.get_mut(&snapshot.sk) else {
            return false;
        };
        let Some(found) = here.iter().position(|(_, other)| same(&other.last, snapshot)) else {
            return false;
        };
        let (_, mut late) = here.swap_remove(found);
        late.next(*snapshot);
        self.ended.push(late);
        true
    }

    /// All connections, and the traffic of those that are gone.
    fn all(&self) -> SnapshotOf<Self> {
        let displaced = self.displaced.values().flatten().map(|(_, connection)| connection);
        let all = self.ended.iter().chain(self.living.values()).chain(displaced);
        Snapshot {
            rows: all.map(Connection::row).collect(),
            rest: Vec::new(),
            retired: vec![self.retired],
        }
    }

    /// The next interval begins.
    fn next(&mut self) {
        let retired = &mut self.retired;
        self.ended.drain(..).for_each(|connection| retired.add(&connection.traffic));
        let kept = self.newest_ns.saturating_sub(LATE_NS);
        self.displaced.retain(|_, here| {
            here.extract_if(.., |(since, _)| *since < kept)
                .for_each(|(_, connection)| retired.add(&connection.traffic));
            !here.is_empty()
        });
    }
}

impl TotalsTable for ConnectionTable {
    type Key = u64;
    type Gauges = Rc<ConnSnapshot>;
    type Counts = Traffic;

    fn begin(&mut self, loaded: &Loaded<'_>) -> Result<()> {
        self.poll(loaded)
    }

    fn poll(&mut self, loaded: &Loaded<'_>) -> Result<()> {
        let snapshots = loaded.conn_snapshots()?;
        snapshots
            .chunks_exact(size_of::<ConnSnapshot>())
            .filter_map(copy)
            .for_each(|snapshot| self.take(snapshot));
        Ok(())
    }

    fn record(&mut self, bytes: &[u8]) -> bool {
        // The perf buffer pads records.
        let Some(snapshot) = bytes.get(..size_of::<ConnSnapshot>()).and_then(copy) else {
            return false;
        };
        self.take(snapshot);
        true
    }

    fn totals(&mut self, _: &Loaded<'_>) -> Result<SnapshotOf<Self>> {
        Ok(self.all())
    }

    fn retire(&mut self, _: &Loaded<'_>, _: &SnapshotOf<Self>) -> Result<RowsOf<Self>> {
        self.next();
        Ok(Vec::new())
    }

    /// Each connection's end.
    fn events(&self, _: usize, traffic: &Traffic) -> u64 {
        traffic.0[ENDED]
    }

    fn print(&self, rows: SnapshotOf<Self>, span: Span, print: &mut dyn FnMut(&Summary<'_>)) {
        let mut rows: Vec<ConnectionRow> = rows.rows.into_iter().map(|(_, row)| row).collect();
        rows.retain(moved);
        let sum = |part: usize| rows.iter().map(|row| row.counts.0[part]).sum::<u64>();
        let title = format!(
            "{} active connections, RX {} kB, TX {} kB, {} retransmitted in {:.3} s",
            rows.len(),
            sum(RX) / 1024,
            sum(TX) / 1024,
            sum(RETRANS),
            span.interval_ns as f64 / 1e9
        );
        let ends = |row: &ConnectionRow| {
            let head = &row.gauges.event.head;
            (head.sport, head.dport, row.gauges.sk)
        };
        rows.sort_by_key(|row| (u64::MAX - sorted_by(row, self.options.sort), ends(row)));
        rows.truncate(self.options.rows.unwrap_or(usize::MAX));
        print(&Summary {
            shape: &self.shape,
            time: span.time,
            interval_ns: span.interval_ns,
            title,
            lines: rows.iter().map(line).collect(),
        });
    }
}

fn line(row: &ConnectionRow) -> Line<'_> {
    let last = &*row.gauges;
    let (head, owner, tcp) = (&last.event.head, &last.event.owner, &last.event.tcp);
    let address = |bytes: [u8; 16]| Ipv6Addr::from(bytes).to_canonical();
    let family = match address(head.daddr) {
        IpAddr::V4(_) => "ipv4",
        IpAddr::V6(_) => "ipv6",
    };
    let known = owner.pid != 0;
    Line {
        key: Some(vec![
            Value::unless(head.cookie, 0),
            Value::Str(family),
            Value::Ip(address(head.saddr)),
            Value::U64(head.sport.into()),
            Value::Ip(address(head.daddr)),
            Value::U64(head.dport.into()),
            Value::unless(owner.netns.into(), 0),
        ]),
        values: vec![
            Value::unless(owner.pid.into(), 0),
            if known { Value::Name(until_nul(&owner.comm)) } else { Value::Null },
            Value::U64(owner.uid.into()),
            Value::unless(owner.cgroup_id, 0),
            name(TCP_STATES, tcp.state),
            Value::Bool(last.closed != 0),
            Value::U64(row.counts.0[RX]),
            Value::U64(row.counts.0[TX]),
            Value::U64(row.counts.0[RETRANS]),
            Value::U64(tcp.snd_cwnd.into()),
            Value::unless(tcp.srtt_us.into(), 0),
            Value::unless(tcp.mptcp_token.into(), 0),
        ],
        buckets: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
