//! `state`: sock:inet_sock_set_state.

use super::common::{of, std};
use super::names::TCP_STATES;
use super::socket::{sender_columns, socket_event_type, view};
use crate::skel::StateRecord;
use crate::slot::Names::List;
use crate::table::Column;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::{Microseconds, None};

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    std("old_state", (Text, None), "oldstate", "TCP state before the change.", of!(StateRecord, old_state).named(List(TCP_STATES))),
    std("new_state", (Text, None), "newstate", "TCP state after the change.", of!(StateRecord, new_state).named(List(TCP_STATES))),
    std("old_state_us", (Unsigned, Microseconds), "since the last inet_sock_set_state of this socket", "Time in the old state. Null if its start was not observed, which includes every change from CLOSE.", of!(StateRecord, old_state_ns).unset(0).divided(1000)),
];

static SENDER: &[Column] = &sender_columns!(StateRecord);

socket_event_type!(
    StateRecord with SENDER,
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
