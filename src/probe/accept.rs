//! `accept`: the system calls accept and accept4.

use super::common::{Field, std};
use super::connect::us;
use super::socket::{self, socket_kind, view};
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
    std("wait_us", (Unsigned, Microseconds), "since inet_sock_set_state to ESTABLISHED", "How long the established connection waited to be accepted; null where it was established before the trace.", |r| us(r.wait_ns)),
    std("backlog", (Unsigned, Count), "listener's sk_ack_backlog", "Connections that still wait behind it (Recv-Q of ss -l); null where accept() was called before the trace.", |r| of_listener(r, r.backlog)),
    std("max_backlog", (Unsigned, Count), "listener's sk_max_ack_backlog", "How many may wait (Send-Q of ss -l); null as above.", |r| of_listener(r, r.max_backlog)),
];

socket_kind!(
    AcceptRecord,
    TCC_KIND_ACCEPT,
    "accept",
    "syscalls:sys_exit_accept4",
    "A process accepts a connection, by accept or accept4; io_uring and 32-bit processes are not seen.",
    view![
        ("PID", "pid", 6),
        ("COMM", "comm", 10),
        ("shake", "handshake_us", 8),
        ("wait", "wait_us", 8),
        ("queue", "backlog", 5),
        ("max", "max_backlog", 5),
    ],
    |bytes, _, index| socket::value(FIELDS, bytes, index),
    memory: &["conn_state", "synack_time"],
    programs: &["accept_enter", "accept4_enter", "accept_exit", "accept4_exit"]
);
