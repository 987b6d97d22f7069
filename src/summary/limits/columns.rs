//! Columns of `limits`.

use anstyle::AnsiColor;

use super::super::key::column;
use crate::config::summary::LimitsBy;
use crate::skel::Cause;
use crate::table::Type::{Address, Text, Unsigned};
use crate::table::Unit::{Bytes, Count, Microseconds as Us, Segments};
use crate::table::summary::{Share, ViewColumn, view};
use crate::table::{Column, Unit};

/// Number of causes.
pub const CAUSES: usize = Cause::TCC_CAUSES.0 as usize;

#[rustfmt::skip]
pub static KEY: [Column; 10] = [
    column("cookie", (Unsigned, Unit::None), "SO_COOKIE", "Socket cookie (`--by conn`). Null if the kernel has not generated one."),
    column("saddr", (Address, Unit::None), "sk_rcv_saddr", "Local address (`--by conn`, `--by laddr`)."),
    column("sport", (Unsigned, Unit::None), "skc_num", "Local port (`--by conn`, `--by lport`)."),
    column("daddr", (Address, Unit::None), "sk_daddr", "Address of the peer (`--by conn`, `--by raddr`)."),
    column("dport", (Unsigned, Unit::None), "skc_dport", "Port of the peer (`--by conn`, `--by rport`)."),
    column("netns", (Unsigned, Unit::None), "sock_net(sk)->ns.inum", "Network namespace, as an inode number (`--by conn`, `--by netns`)."),
    column("pid", (Unsigned, Unit::None), "task->tgid", "PID of the process that holds the socket (`--by conn`, `--by pid`). Null if not known."),
    column("comm", (Text, Unit::None), "task->group_leader->comm", "Name of that process (`--by conn`, `--by pid`, `--by comm`). Null if not known."),
    column("cgroup_id", (Unsigned, Unit::None), "sk_cgrp_data", "cgroup v2 in which the socket was created (`--by conn`, `--by cgroup`)."),
    column("ca_name", (Text, Unit::None), "icsk_ca_ops->name", "Congestion-control algorithm (`--by conn`, `--by cc`)."),
];

/// Names of the columns of `KEY` for one key.
pub(super) fn parts(by: LimitsBy) -> &'static [&'static str] {
    match by {
        LimitsBy::Conn => &[
            "cookie",
            "saddr",
            "sport",
            "daddr",
            "dport",
            "netns",
            "pid",
            "comm",
            "cgroup_id",
            "ca_name",
        ],
        LimitsBy::Pid => &["pid", "comm"],
        LimitsBy::Comm => &["comm"],
        LimitsBy::Cgroup => &["cgroup_id"],
        LimitsBy::Laddr => &["saddr"],
        LimitsBy::Raddr => &["daddr"],
        LimitsBy::Lport => &["sport"],
        LimitsBy::Rport => &["dport"],
        LimitsBy::Netns => &["netns"],
        LimitsBy::Cc => &["ca_name"],
    }
}

const SOURCE: &str = "classified at each event";

#[rustfmt::skip]
pub static COLUMNS: [Column; 27] = [
    column("connections", (Unsigned, Count), "counted", "Connections observed in the interval."),
    column("observed_us", (Unsigned, Us), "sum of the causes", "Time observed: the sum of the 15 causes below. Of a connection that was open throughout, that is the interval; of several, the sum of theirs."),
    column("main", (Text, Unit::None), SOURCE, "The cause with the largest share of the time. Null if no time was observed."),
    column("handshake_us", (Unsigned, Us), SOURCE, "Time until the connection was established."),
    column("idle_us", (Unsigned, Us), SOURCE, "Nothing to send, and all was acknowledged."),
    column("application_us", (Unsigned, Us), SOURCE, "Data in flight, and nothing more to send: the application did not write."),
    column("sndbuf_us", (Unsigned, Us), SOURCE, "Nothing more to send, as the application waited for room in the send buffer."),
    column("rwnd_us", (Unsigned, Us), SOURCE, "The peer's receive window was full."),
    column("zero_window_us", (Unsigned, Us), SOURCE, "The peer's receive window was closed."),
    column("pacing_cap_us", (Unsigned, Us), SOURCE, "SO_MAX_PACING_RATE held data back."),
    column("pacing_us", (Unsigned, Us), SOURCE, "The pacing of the congestion control held data back."),
    column("local_queue_us", (Unsigned, Us), SOURCE, "Data waited on this host: in the qdisc or the driver, or for TCP small queues."),
    column("slow_start_us", (Unsigned, Us), SOURCE, "The congestion window was full in slow start (BBR: STARTUP)."),
    column("cwnd_us", (Unsigned, Us), SOURCE, "The congestion window was full, and no queue stood on the path."),
    column("path_us", (Unsigned, Us), SOURCE, "A queue stood on the path: the bottleneck's bandwidth was in use."),
    column("recovery_us", (Unsigned, Us), SOURCE, "Fast recovery, or the reduction of the window after ECN, held data back."),
    column("rto_us", (Unsigned, Us), SOURCE, "Silence until a retransmission timeout or a tail loss probe, and recovery after a timeout."),
    column("undecided_us", (Unsigned, Us), SOURCE, "Data waited, both windows had room, and nothing that the kernel shows held it back."),
    column("acked_bytes", (Unsigned, Bytes), "tp->bytes_acked", "Bytes acknowledged in the interval."),
    column("retrans_segs", (Unsigned, Segments), "tp->total_retrans", "Segments retransmitted in the interval."),
    column("rtos", (Unsigned, Count), "tcp:tcp_cong_state_set", "Retransmission timeouts. 0 on kernels without that tracepoint (before 5.19)."),
    column("tlps", (Unsigned, Count), "tcp:tcp_retransmit_skb", "Tail loss probes that retransmitted."),
    column("recoveries", (Unsigned, Count), "tcp:tcp_cong_state_set", "Fast recoveries begun. 0 on kernels without that tracepoint (before 5.19)."),
    column("busy_us", (Unsigned, Us), "tcpi_busy_time", "The kernel's own count of time with data in flight or waiting, in steps of a jiffy."),
    column("rwnd_limited_us", (Unsigned, Us), "tcpi_rwnd_limited", "The kernel's own count of time limited by the receive window. docs/limits.md explains the differences."),
    column("sndbuf_limited_us", (Unsigned, Us), "tcpi_sndbuf_limited", "The kernel's own count of time limited by the send buffer."),
    column("evidence", (Text, Unit::None), "computed", "Sentences with the numbers that show the main causes. Null for rows of several connections, and where there is nothing to show."),
];

const fn share(name: &'static str, column: &'static str, letter: char, color: AnsiColor) -> Share {
    Share { column, name, letter, color }
}

/// In the order of the bar, which is that of `enum tcc_cause`.
pub static SHARES: [Share; CAUSES] = [
    share("handshake", "handshake_us", 'h', AnsiColor::Blue),
    share("idle", "idle_us", '.', AnsiColor::BrightBlack),
    share("application", "application_us", 'a', AnsiColor::White),
    share("sndbuf", "sndbuf_us", 'b', AnsiColor::Yellow),
    share("rwnd", "rwnd_us", 'w', AnsiColor::Magenta),
    share("zero_window", "zero_window_us", 'z', AnsiColor::BrightMagenta),
    share("pacing_cap", "pacing_cap_us", 'C', AnsiColor::BrightYellow),
    share("pacing", "pacing_us", 'p', AnsiColor::BrightCyan),
    share("local_queue", "local_queue_us", 'q', AnsiColor::Cyan),
    share("slow_start", "slow_start_us", 's', AnsiColor::BrightGreen),
    share("cwnd", "cwnd_us", 'c', AnsiColor::BrightBlue),
    share("path", "path_us", '=', AnsiColor::Green),
    share("recovery", "recovery_us", 'r', AnsiColor::BrightRed),
    share("rto", "rto_us", 'T', AnsiColor::Red),
    share("undecided", "undecided_us", '?', AnsiColor::BrightWhite),
];

/// What a row of text begins with.
pub(super) fn heading(by: &[LimitsBy]) -> Vec<ViewColumn> {
    let of_one = |by: &LimitsBy| match by {
        LimitsBy::Conn => vec![
            view("", "saddr:sport", 0, 1),
            view("", "daddr:dport", 0, 1),
            view("", "comm", 0, 1),
            view("pid", "pid", 0, 1),
            view("", "ca_name", 0, 1),
        ],
        LimitsBy::Pid => vec![view("", "comm", 0, 1), view("pid", "pid", 0, 1)],
        LimitsBy::Comm => vec![view("", "comm", 0, 1)],
        LimitsBy::Cgroup => vec![view("cgroup", "cgroup_id", 0, 1)],
        LimitsBy::Laddr => vec![view("", "saddr", 0, 1)],
        LimitsBy::Raddr => vec![view("", "daddr", 0, 1)],
        LimitsBy::Lport => vec![view("lport", "sport", 0, 1)],
        LimitsBy::Rport => vec![view("rport", "dport", 0, 1)],
        LimitsBy::Netns => vec![view("netns", "netns", 0, 1)],
        LimitsBy::Cc => vec![view("", "ca_name", 0, 1)],
    };
    let mut views: Vec<ViewColumn> = by.iter().flat_map(of_one).collect();
    if by != [LimitsBy::Conn] {
        views.push(view("connections", "connections", 0, 1));
    }
    views.push(view("acked_kB", "acked_bytes", 0, 1000));
    views
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::names::LIMIT_CAUSES;

    #[test]
    fn each_cause_has_its_column_in_the_order_of_the_programs() {
        let columns = COLUMNS.iter().skip(3).take(CAUSES);
        for (column, share) in columns.zip(&SHARES) {
            assert_eq!(column.name, share.column);
            assert_eq!(column.name, format!("{}_us", share.name));
        }
        assert!(SHARES.iter().map(|share| share.name).eq(LIMIT_CAUSES.iter().copied()));
        assert_eq!(SHARES[Cause::TCC_CAUSE_PATH.0 as usize].name, "path");
        assert_eq!(SHARES[Cause::TCC_CAUSE_UNDECIDED.0 as usize].name, "undecided");
        let mut letters: Vec<char> = SHARES.iter().map(|share| share.letter).collect();
        letters.sort_unstable();
        letters.dedup();
        assert_eq!(letters.len(), CAUSES);
    }
}
