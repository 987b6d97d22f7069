//! `listeners`: queues and drops of listening sockets.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use anyhow::Result;

use super::Span;
use super::key::column;
use super::totals::{CounterRow, RowCounts, RowTotals, RowsOf, Snapshot, SnapshotOf, TotalsTable};
use crate::config::summary::Listeners;
use crate::events::ca::until_nul;
use crate::events::listen_drop::sends_cookies;
use crate::events::tcp_probe::copy;
use crate::loader::Loaded;
use crate::skel::ListenDropRecord;
use crate::table::Type::{Address, Bool, Text, Unsigned};
use crate::table::Unit::Count;
use crate::table::summary::{
    AggregateSource, AggregateType, Form, Line, Summary, SummarySchema, ViewColumn, view,
};
use crate::table::{Column, Unit, Value};

pub static AGGREGATE: AggregateType = AggregateType {
    command: "listeners",
    doc: "A listening socket at the end of the interval, with its drops in the interval.",
    key: &KEY,
    columns: &COLUMNS,
    source: AggregateSource::Listeners,
};

#[rustfmt::skip]
pub static KEY: [Column; 6] = [
    column("cookie", (Unsigned, Unit::None), "SO_COOKIE", "Socket cookie. Null if the kernel has not generated one."),
    column("family", (Text, Unit::None), "sk_family", "`ipv4` or `ipv6`. The latter may accept IPv4 connections, too."),
    column("saddr", (Address, Unit::None), "sk_rcv_saddr", "Address that it listens on. 0.0.0.0 or :: for any."),
    column("sport", (Unsigned, Unit::None), "skc_num", "Port."),
    column("bound_dev_if", (Unsigned, Unit::None), "sk_bound_dev_if", "Index of the interface that the socket is bound to. Null if not bound."),
    column("netns", (Unsigned, Unit::None), "sock_net(sk)->ns.inum", "Network namespace, as an inode number."),
];

#[rustfmt::skip]
pub static COLUMNS: [Column; 11] = [
    column("pid", (Unsigned, Unit::None), "task->tgid", "PID of the process that holds the socket, of the first if there are several. Null if not known."),
    column("comm", (Text, Unit::None), "task->group_leader->comm", "Name of that process. Null if `pid` is."),
    column("uid", (Unsigned, Unit::None), "sk_uid", "UID of the socket's owner."),
    column("cgroup_id", (Unsigned, Unit::None), "sk_cgrp_data", "cgroup v2 in which the socket was created."),
    column("backlog", (Unsigned, Count), "sk_ack_backlog", "Connections in the accept queue (Recv-Q in `ss -l`)."),
    column("max_backlog", (Unsigned, Count), "sk_max_ack_backlog", "Limit of the accept queue (Send-Q in `ss -l`). The queue is full when `backlog` is greater."),
    column("syn_backlog", (Unsigned, Count), "icsk_accept_queue.qlen", "Unfinished handshakes (the SYN queue). `max_backlog` limits these, too."),
    column("syncookies", (Bool, Unit::None), "tp->rx_opt.ts_recent_stamp", "True if SYN cookies were sent in the interval, or in the second before it. The kernel records them once a second, and jointly for a SO_REUSEPORT group."),
    column("drops", (Unsigned, Count), "sk_drops", "Packets dropped in the interval: SYNs, ACKs that complete a handshake, and others for this socket."),
    column("total_drops", (Unsigned, Count), "sk_drops", "Packets dropped since the socket was created (skmem `d` in ss)."),
    column("closed", (Bool, Unit::None), "sock:inet_sock_set_state", "True if the socket stopped listening in the interval: its last row."),
];

const VIEW: &[ViewColumn] = &[
    view("PID", "pid", 6, 1),
    view("COMM", "comm", 10, 1),
    view("ADDR:PORT", "saddr:sport", 18, 1),
    view("QUEUE", "backlog", 5, 1),
    view("MAX", "max_backlog", 5, 1),
    view("SYNQ", "syn_backlog", 5, 1),
    view("COOKIES", "syncookies", 7, 1),
    view("DROPS", "drops", 6, 1),
    view("TOTAL", "total_drops", 6, 1),
];

/// What is counted of a socket.
const DROPS: usize = 0;
const CLOSED: usize = 1;

type Drops = CounterRow<2>;
/// A socket's last record, and its drops.
type SocketRow = RowTotals<ListenDropRecord, Drops>;

/// A socket that listens.
struct Listening {
    id: u64,
    row: SocketRow,
    /// Found by the last snapshot.
    found: bool,
}

/// Sockets of the last snapshot, by address, and those that closed in the interval.
///
/// The kernel side reports drops since its last record of a socket. They are added up here, from the first snapshot on. A
/// socket that closes has a row of its own for the drops since its last snapshot.
pub struct ListenerTable {
    options: Listeners,
    shape: SummarySchema,
    open: HashMap<u64, Listening>,
    closed: Vec<(u64, SocketRow)>,
    next_id: u64,
    /// The counts of sockets that are gone.
    retired: Drops,
}

/// True if both are of one socket, and not of another one at its address.
fn same(a: &ListenDropRecord, b: &ListenDropRecord) -> bool {
    let identity = |row: &ListenDropRecord| {
        let head = &row.event.head;
        (head.cookie, head.saddr, head.sport)
    };
    identity(a) == identity(b)
}

impl ListenerTable {
    #[must_use]
    pub fn new(options: &Listeners) -> Self {
        ListenerTable {
            options: options.clone(),
            shape: SummarySchema {
                command: AGGREGATE.command,
                key: KEY.iter().collect(),
                columns: COLUMNS.iter().collect(),
                form: Form::Lines(VIEW.to_vec()),
            },
            open: HashMap::new(),
            closed: Vec::new(),
            next_id: 0,
            retired: Drops::default(),
        }
    }

    /// A snapshot begins.
    fn begin_snapshot(&mut self) {
        self.open.values_mut().for_each(|socket| socket.found = false);
    }

    /// A snapshot finds a socket once for each of its files, and only one of these rows has its drops.
    fn take(&mut self, mut row: ListenDropRecord) {
        let drops = u64::from(row.drops);
        match self.open.get_mut(&row.sk) {
            Some(known) if known.found || same(&known.row.gauges, &row) => {
                if known.found {
                    row.interval_ns = row.interval_ns.max(known.row.gauges.interval_ns);
                }
                known.found = true;
                known.row.gauges = row;
                known.row.counts.0[DROPS] += drops;
            }
            _ => {
                let (id, row) = self.new_row(row);
                let socket = Listening { id, row, found: true };
                if let Some(other) = self.open.insert(socket.row.gauges.sk, socket) {
                    self.retired.add(&other.row.counts);
                }
            }
        }
    }

    /// Sockets that the snapshot has not found are gone.
    fn end_snapshot(&mut self) {
        for (_, socket) in self.open.extract_if(|_, socket| !socket.found) {
            self.retired.add(&socket.row.counts);
        }
    }

    fn new_row(&mut self, record: ListenDropRecord) -> (u64, SocketRow) {
        self.next_id += 1;
        let counts = CounterRow([record.drops.into(), record.closed.into()]);
        (self.next_id, RowTotals { gauges: record, counts })
    }

    fn all(&self) -> SnapshotOf<Self> {
        let open = self.open.values().map(|socket| (socket.id, socket.row.clone()));
        Snapshot {
            rows: self.closed.iter().cloned().chain(open).collect(),
            rest: Vec::new(),
            retired: vec![self.retired],
        }
    }
}

impl TotalsTable for ListenerTable {
    type Key = u64;
    type Gauges = ListenDropRecord;
    type Counts = Drops;

    /// The first snapshot: drops count from here on.
    fn begin(&mut self, loaded: &Loaded<'_>) -> Result<()> {
        loaded.listeners().map(drop)
    }

    fn poll(&mut self, loaded: &Loaded<'_>) -> Result<()> {
        self.begin_snapshot();
        let rows = loaded.listeners()?;
        rows.chunks_exact(size_of::<ListenDropRecord>())
            .filter_map(copy)
            .for_each(|row| self.take(row));
        self.end_snapshot();
        Ok(())
    }

    fn record(&mut self, bytes: &[u8]) -> bool {
        // The perf buffer pads records.
        let Some(record) = bytes.get(..size_of::<ListenDropRecord>()).and_then(copy) else {
            return false;
        };
        let (id, mut row) = self.new_row(record);
        row.counts.0[CLOSED] = 1;
        self.closed.push((id, row));
        true
    }

    fn totals(&mut self, _: &Loaded<'_>) -> Result<SnapshotOf<Self>> {
        Ok(self.all())
    }

    fn retire(&mut self, _: &Loaded<'_>, _: &SnapshotOf<Self>) -> Result<RowsOf<Self>> {
        let retired = &mut self.retired;
        self.closed.drain(..).for_each(|(_, row)| retired.add(&row.counts));
        Ok(Vec::new())
    }

    /// Each socket's end.
    fn events(&self, _: usize, counts: &Drops) -> u64 {
        counts.0[CLOSED]
    }

    fn print(&self, rows: SnapshotOf<Self>, span: Span, print: &mut dyn FnMut(&Summary<'_>)) {
        let mut rows = merge_closed(rows.rows.into_iter().map(|(_, row)| row));
        let drops: u64 = rows.iter().map(|row| row.counts.0[DROPS]).sum();
        let title = format!(
            "Listening sockets: {}, drops: {drops} in {:.3} s",
            rows.len(),
            span.interval_ns as f64 / 1e9
        );
        rows.sort_by_key(|row| {
            let last = &row.gauges;
            let most = (row.counts.0[DROPS], last.backlog, last.total_drops);
            (std::cmp::Reverse(most), last.event.head.sport, last.sk)
        });
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

/// A socket that closed after the interval's snapshot has one row, its last, with the drops from before.
fn merge_closed(rows: impl Iterator<Item = SocketRow>) -> Vec<SocketRow> {
    let (mut rows, open): (Vec<_>, Vec<_>) = rows.partition(|row| row.gauges.closed != 0);
    let closed = rows.len();
    for row in open {
        let before = &row.gauges;
        let is_last = |last: &&mut SocketRow| {
            let last = &last.gauges;
            last.sk == before.sk
                && same(last, before)
                && last.event.head.mono_ns >= before.event.head.mono_ns
        };
        match rows[..closed].iter_mut().find(is_last) {
            Some(last) => {
                last.counts.0[DROPS] += row.counts.0[DROPS];
                let interval_ns = &mut last.gauges.interval_ns;
                *interval_ns = interval_ns.saturating_add(before.interval_ns);
            }
            None => rows.push(row),
        }
    }
    rows
}

fn line(entry: &SocketRow) -> Line<'_> {
    let row = &entry.gauges;
    let (head, owner) = (&row.event.head, &row.event.owner);
    let address = Ipv6Addr::from(head.saddr).to_canonical();
    let family = match address {
        IpAddr::V4(_) => "ipv4",
        IpAddr::V6(_) => "ipv6",
    };
    let known = owner.pid != 0;
    Line {
        key: Some(vec![
            Value::unless(head.cookie, 0),
            Value::Str(family),
            Value::Ip(address),
            Value::U64(head.sport.into()),
            Value::unless(owner.bound_dev_if.into(), 0),
            Value::unless(owner.netns.into(), 0),
        ]),
        values: vec![
            Value::unless(owner.pid.into(), 0),
            if known { Value::Name(until_nul(&owner.comm)) } else { Value::Null },
            Value::U64(owner.uid.into()),
            Value::unless(owner.cgroup_id, 0),
            Value::U64(row.backlog.into()),
            Value::U64(row.max_backlog.into()),
            Value::U64(row.syn_backlog.into()),
            Value::Bool(sends_cookies(row.syncookie_us, row.interval_ns)),
            Value::U64(entry.counts.0[DROPS]),
            Value::U64(row.total_drops.into()),
            Value::Bool(row.closed != 0),
        ],
        buckets: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(all: &mut ListenerTable, rows: &[(u64, u32, u64, u32)]) {
        all.begin_snapshot();
        for &(sk, drops, interval_ns, backlog) in rows {
            all.take(ListenDropRecord { sk, drops, interval_ns, backlog, ..Default::default() });
        }
        all.end_snapshot();
    }

    #[test]
    fn a_socket_with_several_files_is_one_row_with_all_its_drops() {
        let mut all = ListenerTable::new(&Listeners { rows: None });
        snapshot(&mut all, &[(1, 0, 9, 5), (2, 4, 9, 0), (2, 1, 0, 3), (2, 0, 0, 2)]);
        let rows = |all: &ListenerTable| {
            let row = |(_, row): (u64, SocketRow)| {
                let last = row.gauges;
                (last.sk, row.counts.0[DROPS], last.interval_ns, last.backlog)
            };
            let mut rows: Vec<_> = all.all().rows.into_iter().map(row).collect();
            rows.sort_unstable();
            rows
        };
        assert_eq!(rows(&all), [(1, 0, 9, 5), (2, 5, 9, 2)]);
        snapshot(&mut all, &[(2, 3, 7, 1), (3, 6, 7, 0)]);
        assert_eq!(rows(&all), [(2, 8, 7, 1), (3, 6, 7, 0)], "drops add up, gauges do not");
        snapshot(&mut all, &[(3, 1, 7, 0)]);
        assert_eq!(rows(&all), [(3, 7, 7, 0)]);
        assert_eq!(
            all.all().retired,
            [CounterRow([8, 0])],
            "and those of a socket that is gone stay"
        );
    }

    #[test]
    fn a_socket_that_closes_after_the_snapshot_is_one_row() {
        let row = |sk, closed, mono_ns, drops| {
            let mut gauges = ListenDropRecord { sk, closed, interval_ns: 5, ..Default::default() };
            gauges.event.head.mono_ns = mono_ns;
            RowTotals { gauges, counts: CounterRow([drops, closed.into()]) }
        };
        let rows = [row(1, 0, 10, 3), row(2, 0, 10, 7), row(1, 1, 12, 2), row(2, 1, 8, 1)];
        let merged = merge_closed(rows.into_iter());
        let shown = |row: &SocketRow| {
            let last = &row.gauges;
            (last.sk, last.closed, last.interval_ns, row.counts.0[DROPS])
        };
        let shown: Vec<_> = merged.iter().map(shown).collect();
        assert_eq!(shown, [(1, 1, 10, 5), (2, 1, 5, 1), (2, 0, 5, 7)], "2 listens again");
    }
}
