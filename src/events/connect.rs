//! `connect`: sock:inet_sock_set_state out of SYN_SENT.

use super::Hook;
use super::common::{self, Field, full, std};
use super::names::{errno, name};
use super::socket::{self, socket_event_type, view};
use crate::skel::ConnectRecord;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::{Microseconds, None, Segments};
use crate::table::Value::{self, Null, U64};

/// `enum tcc_outcome`.
const OUTCOMES: &[&str] = &["established", "refused", "timeout", "error", "aborted"];

/// Nanoseconds as microseconds; 0 is unknown.
pub(super) fn us(ns: u64) -> Value<'static> {
    if ns == 0 { Null } else { U64(ns / 1000) }
}

#[rustfmt::skip]
static FIELDS: &[Field<ConnectRecord>] = &[
    std("outcome", (Text, None), "newstate, sk->sk_err", "established; refused, timeout, error (as `err` says); aborted: closed by its process before there was an answer.", |r| name(OUTCOMES, r.outcome)),
    std("err", (Text, None), "sk->sk_err, sk->sk_err_soft, sk->sk_error_queue, the exit of connect()", "The error that the application gets, by name, also where an ICMP message came while connect() had the socket; null: none, or one that was not seen (see the documentation).", |r| errno(r.err)),
    full("errno", (Unsigned, None), "sk->sk_err, the exit of connect()", "Its number; null: none.", |r| Value::unless(r.err.into(), 0)),
    std("latency_us", (Unsigned, Microseconds), "since inet_sock_set_state CLOSE to SYN_SENT; tp->tcp_wstamp_ns with TCP_FASTOPEN_CONNECT", "From the first SYN to the end; null where that was before the trace, or there was none (as under TCP_REPAIR).", |r| us(r.latency_ns)),
    std("syn_wait_us", (Unsigned, Microseconds), "tp->tcp_wstamp_ns, tp->retrans_stamp", "With TCP_FASTOPEN_CONNECT: from connect() to the first SYN, which waits for the first data where there is a cookie, or to the end if none was sent; not in latency_us. Null without that option, and where it was not seen.", |r| common::us(r.syn_wait_ns)),
    std("syn_retrans", (Unsigned, Segments), "tp->total_retrans", "SYNs sent again.", |r| U64(r.event.tcp.total_retrans.into())),
];

/// What the call returns.
const RETURN: &[Hook] = &[Hook {
    hook: "raw_syscalls:sys_exit",
    program: "connect_return",
    without: Some("the error of a connect() that fails by itself is null"),
}];

socket_event_type!(
    ConnectRecord,
    TCC_EVENT_CONNECT,
    "connect",
    "sock:inet_sock_set_state" and RETURN,
    "The end of an active open: connected, or why not.",
    view![
        ("PID", "pid", 6),
        ("COMM", "comm", 10),
        ("us", "latency_us", 8),
        ("rtx", "syn_retrans", 3),
        ("OUTCOME", "outcome", 11),
        ("ERROR", "err", 5),
    ],
    |bytes, _, index| socket::value(FIELDS, bytes, index),
    state_trackers: &["conn_state", "syn_again"]
);
