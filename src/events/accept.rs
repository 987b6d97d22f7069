//! `accept`: the system calls accept and accept4.

use super::Hook;
use super::common::{Field, std};
use super::connect::us;
use super::socket::{self, socket_event_type, view};
use crate::skel::AcceptRecord;
use crate::table::Type::Unsigned;
use crate::table::Unit::{Count, Microseconds};
use crate::table::Value::{self, Null, U64};

fn of_listener(r: &AcceptRecord, value: u32) -> Value<'static> {
    if r.has_listener == 0 { Null } else { U64(value.into()) }
}

#[rustfmt::skip]
static FIELDS: &[Field<AcceptRecord>] = &[
    std("handshake_us", (Unsigned, Microseconds), "see the documentation", "From the first SYN-ACK to the ACK that ends the handshake; null where the kernel has no time of it (a SYN cookie, or a listener with TCP_DEFER_ACCEPT, which waits for the client's data), and where it was before the trace.", |r| Value::unless(r.handshake_us.into(), 0)),
    std("wait_us", (Unsigned, Microseconds), "since inet_sock_set_state to ESTABLISHED", "How long the established connection waited to be accepted; null where it was established before the trace, and where accepting it was not seen itself (32-bit processes, direct descriptors of io_uring): then the record is of the first read, or of the end.", |r| us(r.wait_ns)),
    std("backlog", (Unsigned, Count), "listener's sk_ack_backlog", "Connections that still wait behind it (Recv-Q of ss -l); null where accept() was called before the trace, and where the kernel does not say which listener it was (io_uring: multishot, and before 5.18).", |r| of_listener(r, r.backlog)),
    std("max_backlog", (Unsigned, Count), "listener's sk_max_ack_backlog", "How many may wait (Send-Q of ss -l); null as above.", |r| of_listener(r, r.max_backlog)),
];

/// How accepts are seen that are no system call of a 64-bit process.
const MORE: &[Hook] = &[
    Hook {
        hook: IO_URING,
        program: "accept_uring",
        without: Some(
            "accepts by io_uring are reported when the connection is first read from or ends",
        ),
    },
    Hook { hook: "tcp:tcp_rcv_space_adjust", program: "accept_receive", without: None },
    Hook { hook: "sock:inet_sock_set_state", program: "accept_state", without: None },
];

/// The end of a request.
pub const IO_URING: &str = "io_uring:io_uring_complete";

socket_event_type!(
    @ AcceptRecord,
    TCC_EVENT_ACCEPT,
    "accept",
    "syscalls:sys_exit_accept4",
    MORE,
    &[],
    "A process accepts a connection, by accept, accept4 or io_uring; or is seen to have done so when it reads from the connection or closes it.",
    view![
        ("PID", "pid", 6),
        ("COMM", "comm", 10),
        ("shake", "handshake_us", 8),
        ("wait", "wait_us", 8),
        ("queue", "backlog", 5),
        ("max", "max_backlog", 5),
    ],
    |bytes, _, index| socket::value(FIELDS, bytes, index),
    &["conn_state", "synack_time"],
    &["accept_enter", "accept4_enter", "accept_exit", "accept4_exit"]
);
