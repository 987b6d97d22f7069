//! `accept`: the system calls accept and accept4.

use super::common::{of, slot, std};
use super::socket::{socket_event_type, view};
use super::{Hook, Tracker};
use crate::skel::AcceptRecord;
use crate::slot::Condition;
use crate::table::Column;
use crate::table::Type::Unsigned;
use crate::table::Unit::{Count, Microseconds};

const HAS_LISTENER: &[Condition] = &[Condition::is_not(slot!(AcceptRecord, has_listener), 0)];

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    std("handshake_us", (Unsigned, Microseconds), "first RTT sample, or tcp:tcp_retransmit_synack to ESTABLISHED", "Time from the first SYN-ACK to the ACK that completes the handshake. Null if the kernel keeps no time (SYN cookie, TCP_DEFER_ACCEPT), or if the handshake preceded the trace.", of!(AcceptRecord, handshake_us).unset(0)),
    std("wait_us", (Unsigned, Microseconds), "since inet_sock_set_state to ESTABLISHED", "Time that the connection spent in the accept queue. Null if it was established before the trace, or if only a later read or the end was observed (32-bit processes, direct descriptors of io_uring).", of!(AcceptRecord, wait_ns).unset(0).divided(1000)),
    std("backlog", (Unsigned, Count), "listener's sk_ack_backlog", "Connections still in the accept queue (Recv-Q in `ss -l`). Null if accept() was called before the trace, or if the listener is unknown (multishot io_uring, and io_uring before Linux 5.18).", of!(AcceptRecord, backlog).when(HAS_LISTENER)),
    std("max_backlog", (Unsigned, Count), "listener's sk_max_ack_backlog", "Limit of the accept queue (Send-Q in `ss -l`). Null as for `backlog`.", of!(AcceptRecord, max_backlog).when(HAS_LISTENER)),
];

/// The system calls, and hooks for accepts that are not system calls of a 64-bit process.
const EXTRA_HOOKS: &[Hook] = &[
    Hook { hook: "syscalls:sys_enter_accept4", without: None },
    Hook { hook: "syscalls:sys_enter_accept", without: None },
    Hook { hook: "syscalls:sys_exit_accept", without: None },
    Hook {
        hook: IO_URING,
        without: Some(
            "accepts by io_uring are reported at the first read from the connection, or at its end",
        ),
    },
    Hook { hook: "tcp:tcp_rcv_space_adjust", without: None },
    Hook { hook: "sock:inet_sock_set_state", without: None },
];

/// Fires when a request completes.
pub const IO_URING: &str = "io_uring:io_uring_complete";

socket_event_type!(
    AcceptRecord,
    TCC_EVENT_ACCEPT,
    "accept",
    "syscalls:sys_exit_accept4",
    "A process accepts a connection by accept, accept4 or io_uring. Accepts by other means are reported at the first read from the connection, or at its end.",
    view![
        ("PID", "pid", 6),
        ("COMM", "comm", 10),
        ("shake", "handshake_us", 8),
        ("wait", "wait_us", 8),
        ("queue", "backlog", 5),
        ("max", "max_backlog", 5),
    ],
    extra_hooks: EXTRA_HOOKS,
    trackers: &[Tracker::History, Tracker::SynackTime]
);
