//! The columns of `top`.

use crate::summary::key::column;
use crate::table::Type::{Address, Bool, Text, Unsigned};
use crate::table::Unit::{Bytes, Microseconds, Segments};
use crate::table::summary::{ViewColumn, view};
use crate::table::{Column, Set, Type, Unit};

/// Source of what limits a connection.
const SOURCE: &str = "classified at each event";
/// Number of columns that only `--limits` adds.
pub(super) const OF_LIMITS: usize = 4;

#[rustfmt::skip]
pub(super) static KEY: [Column; 7] = [
    column("cookie", (Unsigned, Unit::None), "SO_COOKIE", "Socket cookie. Null if the kernel has not generated one."),
    column("family", (Text, Unit::None), "sk_family", "`ipv4` or `ipv6`. IPv4-mapped connections are `ipv4`."),
    column("saddr", (Address, Unit::None), "sk_rcv_saddr", "Local address."),
    column("sport", (Unsigned, Unit::None), "skc_num", "Local port."),
    column("daddr", (Address, Unit::None), "sk_daddr", "Address of the peer."),
    column("dport", (Unsigned, Unit::None), "skc_dport", "Port of the peer."),
    column("netns", (Unsigned, Unit::None), "sock_net(sk)->ns.inum", "Network namespace, as an inode number."),
];

/// A column that only an option adds.
const fn named(
    name: &'static str,
    of_type: (Type, Unit),
    source: &'static str,
    doc: &'static str,
) -> Column {
    Column { set: Set::Named, ..column(name, of_type, source, doc) }
}

/// The last [`OF_LIMITS`] are for `--limits`.
#[rustfmt::skip]
pub(super) static COLUMNS: [Column; 16] = [
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
    named("limits_main", (Text, Unit::None), SOURCE, "The cause that limited the sender for most of the interval, as in `limits`. Null if no time was observed. Only with `--limits`, as the next three."),
    named("limits_main_us", (Unsigned, Microseconds), SOURCE, "Time of that cause."),
    named("limits_main_percent", (Unsigned, Unit::Percent), SOURCE, "Its share of `limits_observed_us`. Null if no time was observed."),
    named("limits_observed_us", (Unsigned, Microseconds), SOURCE, "The time that was classified: the interval, of a connection that was open throughout."),
];

pub(super) const VIEW: &[ViewColumn] = &[
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

/// The congestion window makes room for the cause and its share.
pub(super) const LIMITS_VIEW: &[ViewColumn] = &[
    view("PID", "pid", 6, 1),
    view("COMM", "comm", 7, 1),
    view("LADDR:LPORT", "saddr:sport", 18, 1),
    view("RADDR:RPORT", "daddr:dport", 18, 1),
    view("RX_KB", "rx_bytes", 8, 1024),
    view("TX_KB", "tx_bytes", 8, 1024),
    view("SRTT_US", "srtt_us", 7, 1),
    view("RETR", "retrans_segs", 4, 1),
    view("LIMIT", "limits_main", 11, 1),
    view("%", "limits_main_percent", 3, 1),
];
