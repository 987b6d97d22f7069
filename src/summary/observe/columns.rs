//! Columns of `observe`, and what its metrics are made of.

use super::ss_names;
use crate::config::summary::{By, Metric, Names, Observe, TimeField};
use crate::skel::ObserveSum;
use crate::summary::key::column;
use crate::table::Type::{Float, Text, Unsigned};
use crate::table::summary::{AggregateSource, AggregateType, Form, SummarySchema};
use crate::table::{Column, Unit};

pub static AGGREGATE: AggregateType = AggregateType {
    command: "observe",
    doc: "Totals of all connections in the interval, one record per key, metric and label. With keys, a label without a record is 0.",
    key: &KEY,
    columns: &COLUMNS,
    source: AggregateSource::Observe,
};

#[rustfmt::skip]
pub static KEY: [Column; 16] = [
    column("netns", (Unsigned, Unit::None), "sock_net(sk)->ns.inum", "Network namespace, as an inode number (`--by netns`, `--by iface`, `--by conn`)."),
    column("saddr", (Text, Unit::None), "sk_rcv_saddr", "Local address (`--by conn`)."),
    column("sport", (Unsigned, Unit::None), "skc_num", "Local port (`--by lport`, `--by conn`)."),
    column("daddr", (Text, Unit::None), "sk_daddr", "Address of the peer, or its network with `--prefix` (`--by raddr`, `--by conn`)."),
    column("dport", (Unsigned, Unit::None), "skc_dport", "Port of the peer (`--by rport`, `--by conn`)."),
    column("cookie", (Unsigned, Unit::None), "SO_COOKIE", "Socket cookie (`--by conn`). Null if the kernel has not generated one."),
    column("cgroup_id", (Unsigned, Unit::None), "sk_cgrp_data", "cgroup v2 in which the socket was created (`--by cgroup`)."),
    column("cgroup", (Text, Unit::None), "cgroup2 file system", "Its path below the mount point (`--by cgroup`). Null if it is gone or out of sight."),
    column("ca_name", (Text, Unit::None), "icsk_ca_ops->name", "Congestion-control algorithm (`--by cc`)."),
    column("pid", (Unsigned, Unit::None), "task->tgid", "PID of the process that holds the socket (`--by pid`). Null if not known."),
    column("comm", (Text, Unit::None), "task->group_leader->comm", "Name of that process (`--by pid`, `--by comm`). Null if not known."),
    column("ifindex", (Unsigned, Unit::None), "sk_dst_cache->dev, skb->dev", "Interface of the connection's route, or of a dropped packet (`--by iface`). Null if there is none."),
    column("ifname", (Text, Unit::None), "SIOCGIFNAME", "Its name (`--by iface`). Null in other network namespaces than that of tcc-trace."),
    column("sk_cookie", (Unsigned, Unit::None), "SO_COOKIE", "`cookie`, with `--names ss`."),
    column("cgroup_path", (Text, Unit::None), "cgroup2 file system", "`cgroup`, with `--names ss`."),
    column("congestion_algorithm", (Text, Unit::None), "icsk_ca_ops->name", "`ca_name`, with `--names ss`."),
];

#[rustfmt::skip]
pub static COLUMNS: [Column; 13] = [
    column("metric", (Text, Unit::None), "counted", "What is counted: see [metrics](../observe.md#metrics)."),
    column("label", (Text, Unit::None), "counted", "Which part of it, such as a class or a reason. Null for a distribution, and where this kernel gives no reason."),
    column("value", (Unsigned, Unit::None), "counted", "The number; of a distribution, that of its values."),
    column("per_data_seg", (Float, Unit::None), "value / data_segs_out", "Of `retransmits`: retransmitted segments per data segment sent in the interval. Null for other metrics, and without data."),
    column("unset", (Unsigned, Unit::None), "counted", "Of a distribution: samples without a value yet. Null, as are the columns below, for other metrics."),
    column("sum", (Float, Unit::None), "counted", "Sum of the values. Whole numbers, as all below but `avg`, unless `--names ss` prints times in ms."),
    column("avg", (Float, Unit::None), "sum / value", "Average. Null, as are the columns below, without values."),
    column("min", (Float, Unit::None), "counted", "Smallest value. Exact over a whole run; in an interval, as accurate as the percentiles."),
    column("p50", (Float, Unit::None), "buckets", "Median. Percentiles are at most 3.2 % off, and exact below 32."),
    column("p90", (Float, Unit::None), "buckets", "90th percentile."),
    column("p99", (Float, Unit::None), "buckets", "99th percentile."),
    column("p999", (Float, Unit::None), "buckets", "99.9th percentile."),
    column("max", (Float, Unit::None), "counted", "Largest value, as accurate as `min`."),
];

/// A label of a metric, and its sum.
pub type Label = (&'static str, usize);

const fn at(sum: ObserveSum) -> usize {
    sum.0 as usize
}

/// Retransmitted segments by class (`enum tcc_retransmit_class`).
const fn class(number: usize) -> usize {
    at(ObserveSum::TCC_OBSERVE_RETRANS) + number
}

pub const CONNECTIONS: &[Label] = &[
    ("active_opens", at(ObserveSum::TCC_OBSERVE_ACTIVE_OPENS)),
    ("passive_opens", at(ObserveSum::TCC_OBSERVE_PASSIVE_OPENS)),
    ("failed", at(ObserveSum::TCC_OBSERVE_FAILED)),
    ("established", at(ObserveSum::TCC_OBSERVE_ESTABLISHED)),
    ("closed", at(ObserveSum::TCC_OBSERVE_CLOSED)),
    ("aborted", at(ObserveSum::TCC_OBSERVE_ABORTED)),
    ("open", at(ObserveSum::TCC_OBSERVE_OPEN)),
    ("untracked", at(ObserveSum::TCC_OBSERVE_UNTRACKED)),
];
pub const BYTES: &[Label] = &[
    ("sent", at(ObserveSum::TCC_OBSERVE_BYTES_SENT)),
    ("retrans", at(ObserveSum::TCC_OBSERVE_BYTES_RETRANS)),
    ("acked", at(ObserveSum::TCC_OBSERVE_BYTES_ACKED)),
    ("received", at(ObserveSum::TCC_OBSERVE_BYTES_RECEIVED)),
];
pub const SEGMENTS: &[Label] = &[
    ("out", at(ObserveSum::TCC_OBSERVE_SEGS_OUT)),
    ("in", at(ObserveSum::TCC_OBSERVE_SEGS_IN)),
    ("data_out", at(ObserveSum::TCC_OBSERVE_DATA_SEGS_OUT)),
    ("data_in", at(ObserveSum::TCC_OBSERVE_DATA_SEGS_IN)),
];
pub const RETRANSMITS: &[Label] = &[
    ("other", class(0)),
    ("fast", class(1)),
    ("rto", class(2)),
    ("slow_start", class(3)),
    ("tlp", class(4)),
    ("syn", class(5)),
    ("synack", at(ObserveSum::TCC_OBSERVE_RETRANS_SYNACK)),
];
/// Retransmissions by a timer, as events.
pub const TIMERS: &[Label] =
    &[("rto", at(ObserveSum::TCC_OBSERVE_RTOS)), ("tlp", at(ObserveSum::TCC_OBSERVE_TLPS))];

/// By the undo that shows it (`enum tcc_undo`); the first is reported by a DSACK alone.
const fn undo(number: usize) -> usize {
    at(ObserveSum::TCC_OBSERVE_SPURIOUS) + number
}

pub const SPURIOUS: &[Label] = &[
    ("dsack", undo(0)),
    ("undo_full", undo(1)),
    ("undo_partial", undo(2)),
    ("undo_dsack", undo(3)),
    ("undo_loss", undo(4)),
    ("undo_syn", undo(5)),
];

/// `enum tcp_ca_state`.
const fn state(number: usize) -> usize {
    at(ObserveSum::TCC_OBSERVE_CA_STATES) + number
}

pub const CA_STATES: &[Label] = &[
    ("open", state(0)),
    ("disorder", state(1)),
    ("cwr", state(2)),
    ("recovery", state(3)),
    ("loss", state(4)),
];
pub const ZERO_WINDOWS: &[Label] = &[
    ("peer", at(ObserveSum::TCC_OBSERVE_ZERO_WINDOWS_PEER)),
    ("local", at(ObserveSum::TCC_OBSERVE_ZERO_WINDOWS_LOCAL)),
];
/// The first of the sums of causes, in ns (`enum tcc_cause`).
pub const LIMITS: usize = at(ObserveSum::TCC_OBSERVE_LIMITS);
pub const RESETS_RECEIVED: usize = at(ObserveSum::TCC_OBSERVE_RESETS_RECEIVED);
pub const DATA_SEGS_OUT: usize = at(ObserveSum::TCC_OBSERVE_DATA_SEGS_OUT);
pub const OPEN: usize = at(ObserveSum::TCC_OBSERVE_OPEN);
pub const EVENTS: usize = at(ObserveSum::TCC_OBSERVE_EVENTS);
/// Sums of a row.
pub const SUMS: usize = EVENTS + 1;
/// Bytes in both directions: rows with the most come first.
pub const WEIGHT: [usize; 2] =
    [at(ObserveSum::TCC_OBSERVE_BYTES_SENT), at(ObserveSum::TCC_OBSERVE_BYTES_RECEIVED)];

/// The printed metrics that are sums, with their labels, in order.
pub fn sums(metric: Metric) -> &'static [(&'static str, &'static [Label])] {
    match metric {
        Metric::Connections => &[("connections", CONNECTIONS)],
        Metric::Bytes => &[("bytes", BYTES), ("segments", SEGMENTS)],
        Metric::Retransmits => &[("retransmits", RETRANSMITS)],
        Metric::Timers => &[("timers", TIMERS)],
        Metric::Spurious => &[("spurious", SPURIOUS)],
        Metric::CaStates => &[("ca_state_entries", CA_STATES)],
        Metric::ZeroWindows => &[("zero_windows", ZERO_WINDOWS)],
        _ => &[],
    }
}

impl Observe {
    fn key_names(&self) -> Vec<&'static str> {
        let of_one = |by: &By| -> &'static [&'static str] {
            match by {
                By::Conn | By::Ends => &["netns", "saddr", "sport", "daddr", "dport", "cookie"],
                By::Laddr => &["saddr"],
                By::Raddr => &["daddr"],
                By::Lport => &["sport"],
                By::Rport => &["dport"],
                By::Cgroup => &["cgroup_id", "cgroup"],
                By::Netns => &["netns"],
                By::Cc => &["ca_name"],
                By::Pid => &["pid", "comm"],
                By::Comm => &["comm"],
            }
        };
        let iface: &[&str] = if self.keys.iface { &["netns", "ifindex", "ifname"] } else { &[] };
        self.keys.by.iter().flat_map(of_one).chain(iface).copied().collect()
    }
}

pub fn schema(options: &Observe) -> SummarySchema {
    let names = options.key_names();
    let of = |own| if options.names == Names::Ss { ss_names::of_key(own) } else { own };
    SummarySchema {
        command: AGGREGATE.command,
        key: KEY.iter().filter(|column| names.iter().any(|name| column.name == of(name))).collect(),
        columns: COLUMNS.iter().collect(),
        form: Form::Page,
    }
}

/// The name of a distribution as a metric.
pub fn distribution(field: TimeField) -> &'static str {
    field.name()
}
