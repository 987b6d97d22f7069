//! `connect`: sock:inet_sock_set_state out of SYN_SENT.

use super::common::{UNKNOWN_NS, full, of, std};
use super::names::ERRORS;
use super::socket::{socket_event_type, view};
use super::{Hook, Tracker};
use crate::skel::ConnectRecord;
use crate::slot::Names::List;
use crate::table::Column;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::{Microseconds, None, Segments};

/// `enum tcc_outcome`.
const OUTCOMES: &[&str] = &["established", "refused", "timeout", "error", "aborted"];

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    std("outcome", (Text, None), "newstate, sk->sk_err", "established; refused, timeout or error (see `err`); aborted if the process closed the socket before an answer.", of!(ConnectRecord, outcome).named(List(OUTCOMES))),
    std("err", (Text, None), "sk->sk_err, sk->sk_err_soft, sk->sk_error_queue, return value of connect()", "Error that the application gets, by name, including ICMP errors that arrived while connect() held the socket. Null if none, or if not observed.", of!(ConnectRecord, err).named(ERRORS)),
    full("errno", (Unsigned, None), "sk->sk_err, return value of connect()", "Number of that error. Null if none.", of!(ConnectRecord, err).unset(0)),
    std("latency_us", (Unsigned, Microseconds), "since inet_sock_set_state CLOSE to SYN_SENT; tp->tcp_wstamp_ns with TCP_FASTOPEN_CONNECT", "Time from the first SYN to the outcome. Null if the SYN preceded the trace, or if none was sent (TCP_REPAIR).", of!(ConnectRecord, latency_ns).unset(0).divided(1000)),
    std("syn_wait_us", (Unsigned, Microseconds), "tp->tcp_wstamp_ns, tp->retrans_stamp", "With TCP_FASTOPEN_CONNECT: time from connect() to the first SYN, which waits for data if there is a cookie, or to the end if no SYN was sent. Not part of `latency_us`. Null without that option, and if not observed.", of!(ConnectRecord, syn_wait_ns).unset(UNKNOWN_NS).divided(1000)),
    std("syn_retrans", (Unsigned, Segments), "tp->total_retrans", "SYNs retransmitted.", of!(ConnectRecord, event.tcp.total_retrans)),
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
    "sock:inet_sock_set_state",
    "An active open ends: the connection is established, or has failed.",
    view![
        ("PID", "pid", 6),
        ("COMM", "comm", 10),
        ("us", "latency_us", 8),
        ("rtx", "syn_retrans", 3),
        ("OUTCOME", "outcome", 11),
        ("ERROR", "err", 5),
    ],
    extra_hooks: EXTRA_HOOKS,
    trackers: &[Tracker::History, Tracker::SynAgain]
);
