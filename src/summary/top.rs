//! `top`: traffic of each connection in the interval.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use anyhow::Result;

use super::key::column;
use super::{Aggregate, Span};
use crate::config::summary::{Sort, Top};
use crate::events::ca::until_nul;
use crate::events::names::{TCP_STATES, name};
use crate::events::tcp_probe::copy;
use crate::loader::Loaded;
use crate::skel::ConnSnapshot;
use crate::table::Type::{Address, Bool, Text, Unsigned};
use crate::table::Unit::{Bytes, Microseconds, Segments};
use crate::table::summary::{Form, Line, Summary, SummarySchema, ViewColumn, view};
use crate::table::{Column, Unit, Value};

/// For the schema and the reference.
pub const DOC: &str = "Traffic of a connection in the interval. Idle connections have no record.";

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

/// A connection and its traffic in the interval.
struct Connection {
    last: ConnSnapshot,
    rx: u64,
    tx: u64,
    retrans: u64,
}

impl Connection {
    /// The first snapshot. Earlier traffic of a connection that existed before does not count.
    fn new(snapshot: ConnSnapshot) -> Self {
        let mut begun = Connection { last: snapshot, rx: 0, tx: 0, retrans: 0 };
        if snapshot.born != 0 {
            begun.add(&ConnSnapshot::default(), &snapshot);
        }
        begun
    }

    /// The next snapshot. Counters of a socket that was disconnected and connected again start from zero.
    fn next(&mut self, snapshot: ConnSnapshot) {
        let before = self.last;
        let (old, new) = (&before.event.tcp, &snapshot.event.tcp);
        if new.bytes_acked < old.bytes_acked || new.bytes_received < old.bytes_received {
            self.add(&ConnSnapshot::default(), &snapshot);
        } else {
            self.add(&before, &snapshot);
        }
        // A closed socket keeps its last owner.
        let owner = before.event.owner;
        self.last = snapshot;
        if self.last.event.owner.pid == 0 {
            (self.last.event.owner.pid, self.last.event.owner.comm) = (owner.pid, owner.comm);
        }
    }

    fn add(&mut self, from: &ConnSnapshot, to: &ConnSnapshot) {
        let (from, to) = (&from.event.tcp, &to.event.tcp);
        self.rx += to.bytes_received.saturating_sub(from.bytes_received);
        self.tx += to.bytes_acked.saturating_sub(from.bytes_acked);
        self.retrans += u64::from(to.total_retrans.wrapping_sub(from.total_retrans));
    }

    fn moved(&self) -> bool {
        self.rx + self.tx + self.retrans > 0
    }

    fn sorted_by(&self, sort: Sort) -> u64 {
        match sort {
            Sort::All => self.rx + self.tx,
            Sort::Tx => self.tx,
            Sort::Rx => self.rx,
            Sort::Retrans => self.retrans,
            Sort::Rtt => self.last.event.tcp.srtt_us.into(),
        }
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
pub struct Connections {
    options: Top,
    shape: SummarySchema,
    living: HashMap<u64, Connection>,
    /// Connections whose end had not arrived when another one was found at their address, and the time of that.
    displaced: HashMap<u64, Vec<(u64, Connection)>>,
    ended: Vec<Connection>,
    newest_ns: u64,
    taken: u64,
}

impl Connections {
    #[must_use]
    pub fn new(options: &Top) -> Self {
        Connections {
            options: options.clone(),
            shape: SummarySchema {
                command: "top",
                key: KEY.iter().collect(),
                columns: COLUMNS.iter().collect(),
                form: Form::Lines(VIEW.to_vec()),
            },
            living: HashMap::new(),
            displaced: HashMap::new(),
            ended: Vec::new(),
            newest_ns: 0,
            taken: 0,
        }
    }

    /// A snapshot belongs to the connection with its cookie, even if another one is at that address by now.
    fn take(&mut self, snapshot: ConnSnapshot) {
        self.newest_ns = self.newest_ns.max(time(&snapshot));
        if self.take_displaced(&snapshot) {
            return;
        }
        match self.living.get_mut(&snapshot.sk) {
            Some(known) if same(&known.last, &snapshot) => known.next(snapshot),
            // The end of an earlier connection, in no snapshot.
            Some(known) if snapshot.closed != 0 && time(&snapshot) < time(&known.last) => {
                self.ended.push(Connection::new(snapshot));
                return;
            }
            _ => {
                if let Some(other) = self.living.insert(snapshot.sk, Connection::new(snapshot)) {
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

    /// Connections with traffic in the interval.
    fn rows(&self) -> impl Iterator<Item = &Connection> {
        let displaced = self.displaced.values().flatten().map(|(_, row)| row);
        let all = self.ended.iter().chain(self.living.values()).chain(displaced);
        all.filter(|row| row.moved())
    }

    /// The next interval begins.
    fn next(&mut self) {
        self.ended.clear();
        let kept = self.newest_ns.saturating_sub(LATE_NS);
        self.displaced.retain(|_, here| {
            here.retain(|(since, _)| *since >= kept);
            !here.is_empty()
        });
        let displaced = self.displaced.values_mut().flatten().map(|(_, row)| row);
        for row in self.living.values_mut().chain(displaced) {
            (row.rx, row.tx, row.retrans) = (0, 0, 0);
        }
    }
}

impl Aggregate for Connections {
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
        self.taken += 1;
        true
    }

    fn print(
        &mut self,
        _: &Loaded<'_>,
        span: Span,
        print: &mut dyn FnMut(&Summary<'_>),
    ) -> Result<()> {
        let mut rows: Vec<&Connection> = self.rows().collect();
        let sum = |part: fn(&Connection) -> u64| rows.iter().map(|row| part(row)).sum::<u64>();
        let title = format!(
            "{} active connections, RX {} kB, TX {} kB, {} retransmitted in {:.3} s",
            rows.len(),
            sum(|row| row.rx) / 1024,
            sum(|row| row.tx) / 1024,
            sum(|row| row.retrans),
            span.interval_ns as f64 / 1e9
        );
        let ends =
            |row: &Connection| (row.last.event.head.sport, row.last.event.head.dport, row.last.sk);
        rows.sort_by_key(|row| (u64::MAX - row.sorted_by(self.options.sort), ends(row)));
        rows.truncate(self.options.rows.unwrap_or(usize::MAX));
        print(&Summary {
            shape: &self.shape,
            time: span.time,
            interval_ns: span.interval_ns,
            title,
            lines: rows.into_iter().map(line).collect(),
        });
        self.next();
        Ok(())
    }

    fn events_reported(&self) -> u64 {
        self.taken
    }
}

fn line(row: &Connection) -> Line<'_> {
    let (head, owner, tcp) = (&row.last.event.head, &row.last.event.owner, &row.last.event.tcp);
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
            Value::Bool(row.last.closed != 0),
            Value::U64(row.rx),
            Value::U64(row.tx),
            Value::U64(row.retrans),
            Value::U64(tcp.snd_cwnd.into()),
            Value::unless(tcp.srtt_us.into(), 0),
            Value::unless(tcp.mptcp_token.into(), 0),
        ],
        buckets: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
