//! `connect`: sock:inet_sock_set_state out of SYN_SENT.

use super::common::{self, Field, full, std};
use super::names::{errno, name};
use super::socket::{self, socket_event_type, view};
use super::{Hook, Tracker};
use crate::skel::ConnectRecord;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::{Microseconds, None, Segments};
use crate::table::Value::{self, Null, U64};

/// `enum tcc_outcome`.
const OUTCOMES: &[&str] = &["established", "refused", "timeout", "error", "aborted"];

/// Nanoseconds as microseconds; null for 0, which means unknown.
pub(super) fn us(ns: u64) -> Value<'static> {
    if ns == 0 { Null } else { U64(ns / 1000) }
}

#[rustfmt::skip]
static FIELDS: &[Field<ConnectRecord>] = &[
    std("outcome", (Text, None), "newstate, sk->sk_err", "established; refused, timeout or error (see `err`); aborted if the process closed the socket before an answer.", |r| name(OUTCOMES, r.outcome)),
    std("err", (Text, None), "sk->sk_err, sk->sk_err_soft, sk->sk_error_queue, return value of connect()", "Error that the application gets, by name, including ICMP errors that arrived while connect() held the socket. Null if none, or if not observed.", |r| errno(r.err)),
    full("errno", (Unsigned, None), "sk->sk_err, return value of connect()", "Number of that error. Null if none.", |r| Value::unless(r.err.into(), 0)),
    std("latency_us", (Unsigned, Microseconds), "since inet_sock_set_state CLOSE to SYN_SENT; tp->tcp_wstamp_ns with TCP_FASTOPEN_CONNECT", "Time from the first SYN to the outcome. Null if the SYN preceded the trace, or if none was sent (TCP_REPAIR).", |r| us(r.latency_ns)),
    std("syn_wait_us", (Unsigned, Microseconds), "tp->tcp_wstamp_ns, tp->retrans_stamp", "With TCP_FASTOPEN_CONNECT: time from connect() to the first SYN, which waits for data if there is a cookie, or to the end if no SYN was sent. Not part of `latency_us`. Null without that option, and if not observed.", |r| common::us(r.syn_wait_ns)),
    std("syn_retrans", (Unsigned, Segments), "tp->total_retrans", "SYNs retransmitted.", |r| U64(r.event.tcp.total_retrans.into())),
];

/// Errors that never reach the socket, from the return value of the call.
const EXTRA_HOOKS: &[Hook] = &[Hook {
    hook: "raw_syscalls:sys_exit",
    without: Some("`err` is null if connect() fails before it sends a SYN"),
}];

socket_event_type!(
    ConnectRecord,
    TCC_EVENT_CONNECT,
    "connect",
    "sock:inet_sock_set_state" and EXTRA_HOOKS,
    "An active open ends: the connection is established, or has failed.",
    view![
        ("PID", "pid", 6),
        ("COMM", "comm", 10),
        ("us", "latency_us", 8),
        ("rtx", "syn_retrans", 3),
        ("OUTCOME", "outcome", 11),
        ("ERROR", "err", 5),
    ],
    |bytes, _, index| socket::value(FIELDS, bytes, index),
    trackers: &[Tracker::History, Tracker::SynAgain]
);
