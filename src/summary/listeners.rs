//! `listeners`: each listening socket's queues, and what it has dropped since the last snapshot.

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

/// What the command's records are, in one sentence.
pub const DOC: &str = "A listening socket at the end of the interval, and what it dropped in it.";

#[rustfmt::skip]
pub static KEY: [Column; 6] = [
    column("cookie", (Unsigned, Unit::None), "SO_COOKIE", "The socket's identity; null where the kernel has made none."),
    column("family", (Text, Unit::None), "sk_family", "`ipv4` or `ipv6`; the latter may take IPv4 connections, too."),
    column("saddr", (Address, Unit::None), "sk_rcv_saddr", "The address it listens at; 0.0.0.0 or :: is any."),
    column("sport", (Unsigned, Unit::None), "skc_num", "Its port."),
    column("bound_dev_if", (Unsigned, Unit::None), "sk_bound_dev_if", "The interface that it is bound to, by its number in the namespace; null: to none."),
    column("netns", (Unsigned, Unit::None), "sock_net(sk)->ns.inum", "The network namespace's inode."),
];

#[rustfmt::skip]
pub static COLUMNS: [Column; 11] = [
    column("pid", (Unsigned, Unit::None), "task->tgid", "The process that holds it, of several the first; null: none is known."),
    column("comm", (Text, Unit::None), "task->group_leader->comm", "Its name."),
    column("uid", (Unsigned, Unit::None), "sk_uid", "The socket's user."),
    column("cgroup_id", (Unsigned, Unit::None), "sk_cgrp_data", "The v2 cgroup that the socket was made in."),
    column("backlog", (Unsigned, Count), "sk_ack_backlog", "Connections that wait to be accepted (Recv-Q of ss -l)."),
    column("max_backlog", (Unsigned, Count), "sk_max_ack_backlog", "The limit of the accept queue (Send-Q of ss -l): with more than that waiting, it is full."),
    column("syn_backlog", (Unsigned, Count), "icsk_accept_queue.qlen", "Handshakes that are not finished: the SYN queue, which has the same limit."),
    column("syncookies", (Bool, Unit::None), "tp->rx_opt.ts_recent_stamp", "SYN cookies were sent in the interval, or in the second before it (the kernel notes their time once a second, for a SO_REUSEPORT group in one place)."),
    column("drops", (Unsigned, Count), "sk_drops", "Dropped in the interval: SYNs, ACKs that end a handshake, and other packets for this socket."),
    column("total_drops", (Unsigned, Count), "sk_drops", "Dropped since the socket was made (`d` of ss -m)."),
    column("closed", (Bool, Unit::None), "sock:inet_sock_set_state", "It has stopped listening in the interval: this is its last row."),
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

/// Those that the last snapshot found, by the socket's address, and those that closed in the interval.
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

    /// A socket is found once for each of its files. What it dropped since it was found before is in one of the rows.
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
    /// Drops are counted from here on.
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
            "{} listening sockets, {drops} drops in {:.3} s",
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
            Value::Bool(sends_cookies(row)),
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
