//! `listeners`: queues and drops of listening sockets.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use anyhow::Result;

use super::key::column;
use super::{Aggregate, Span};
use crate::config::summary::Listeners;
use crate::events::ca::until_nul;
use crate::events::listen_drop::sends_cookies;
use crate::events::tcp_probe::copy;
use crate::loader::Loaded;
use crate::skel::ListenDropRecord;
use crate::table::Type::{Address, Bool, Text, Unsigned};
use crate::table::Unit::Count;
use crate::table::summary::{Form, Line, Summary, SummarySchema, ViewColumn, view};
use crate::table::{Column, Unit, Value};

/// For the schema and the reference.
pub const DOC: &str =
    "A listening socket at the end of the interval, with its drops in the interval.";

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

/// Sockets of the last snapshot, by address, and those that closed in the interval.
pub struct Sockets {
    options: Listeners,
    shape: SummarySchema,
    open: HashMap<u64, ListenDropRecord>,
    closed: Vec<ListenDropRecord>,
    taken: u64,
}

impl Sockets {
    #[must_use]
    pub fn new(options: &Listeners) -> Self {
        Sockets {
            options: options.clone(),
            shape: SummarySchema {
                command: "listeners",
                key: KEY.iter().collect(),
                columns: COLUMNS.iter().collect(),
                form: Form::Lines(VIEW.to_vec()),
            },
            open: HashMap::new(),
            closed: Vec::new(),
            taken: 0,
        }
    }

    /// A snapshot finds a socket once for each of its files, and only one of these rows has its drops.
    fn take(&mut self, row: ListenDropRecord) {
        match self.open.get_mut(&row.sk) {
            Some(known) => {
                let before = std::mem::replace(known, row);
                known.drops += before.drops;
                known.interval_ns = known.interval_ns.max(before.interval_ns);
            }
            None => drop(self.open.insert(row.sk, row)),
        }
    }
}

impl Aggregate for Sockets {
    /// The first snapshot: drops count from here on.
    fn begin(&mut self, loaded: &Loaded<'_>) -> Result<()> {
        loaded.listeners().map(drop)
    }

    fn poll(&mut self, loaded: &Loaded<'_>) -> Result<()> {
        self.open.clear();
        let rows = loaded.listeners()?;
        rows.chunks_exact(size_of::<ListenDropRecord>())
            .filter_map(copy)
            .for_each(|row| self.take(row));
        Ok(())
    }

    fn record(&mut self, bytes: &[u8]) -> bool {
        // The perf buffer pads records.
        let Some(row) = bytes.get(..size_of::<ListenDropRecord>()).and_then(copy) else {
            return false;
        };
        self.closed.push(row);
        self.taken += 1;
        true
    }

    fn print(
        &mut self,
        _: &Loaded<'_>,
        span: Span,
        print: &mut dyn FnMut(&Summary<'_>),
    ) -> Result<()> {
        let mut rows: Vec<&ListenDropRecord> =
            self.closed.iter().chain(self.open.values()).collect();
        let drops: u64 = rows.iter().map(|row| u64::from(row.drops)).sum();
        let title = format!(
            "Listening sockets: {}, drops: {drops} in {:.3} s",
            rows.len(),
            span.interval_ns as f64 / 1e9
        );
        rows.sort_by_key(|row| {
            let most = (row.drops, row.backlog, row.total_drops);
            (std::cmp::Reverse(most), row.event.head.sport, row.sk)
        });
        rows.truncate(self.options.rows.unwrap_or(usize::MAX));
        print(&Summary {
            shape: &self.shape,
            time: span.time,
            interval_ns: span.interval_ns,
            title,
            lines: rows.into_iter().map(line).collect(),
        });
        self.closed.clear();
        Ok(())
    }

    fn events_reported(&self) -> u64 {
        self.taken
    }
}

fn line(row: &ListenDropRecord) -> Line<'_> {
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
            Value::U64(row.drops.into()),
            Value::U64(row.total_drops.into()),
            Value::Bool(row.closed != 0),
        ],
        buckets: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_with_several_files_is_one_row_with_all_its_drops() {
        let mut all = Sockets::new(&Listeners { rows: None });
        for (sk, drops, interval_ns, backlog) in
            [(1, 0, 9, 5), (2, 4, 9, 0), (2, 1, 0, 3), (2, 0, 0, 2)]
        {
            all.take(ListenDropRecord { sk, drops, interval_ns, backlog, ..Default::default() });
        }
        let mut rows: Vec<_> = all
            .open
            .values()
            .map(|row| (row.sk, row.drops, row.interval_ns, row.backlog))
            .collect();
        rows.sort_unstable();
        assert_eq!(rows, [(1, 0, 9, 5), (2, 5, 9, 2)]);
    }
}
