//! `state`: sock:inet_sock_set_state.

use super::common::{Field, std};
use super::names::{TCP_STATES, name};
use super::socket::{socket_event_type, view};
use crate::skel::StateRecord;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::{Microseconds, None};
use crate::table::Value;

#[rustfmt::skip]
static FIELDS: &[Field<StateRecord>] = &[
    std("old_state", (Text, None), "oldstate", "TCP state before the change.", |r| name(TCP_STATES, r.old_state)),
    std("new_state", (Text, None), "newstate", "TCP state after the change.", |r| name(TCP_STATES, r.new_state)),
    std("old_state_us", (Unsigned, Microseconds), "since the last inet_sock_set_state of this socket", "Time in the old state. Null if its start was not observed, which includes every change from CLOSE.", |r| if r.old_state_ns == 0 { Value::Null } else { Value::U64(r.old_state_ns / 1000) }),
];

socket_event_type!(
    StateRecord,
    TCC_EVENT_STATE,
    "state",
    "sock:inet_sock_set_state",
    "The TCP state of a connection changes.",
    view![
        ("PID", "pid", 6),
        ("COMM", "comm", 10),
        ("OLDSTATE", "old_state", 11),
        ("NEWSTATE", "new_state", 11),
        ("us", "old_state_us", 8),
    ]
);
