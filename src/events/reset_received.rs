//! `reset_received`: tcp:tcp_receive_reset.

use super::common::{of, std};
use super::names::TCP_STATES;
use super::socket::{socket_event_type, view};
use crate::skel::ResetReceivedRecord;
use crate::slot::Names::List;
use crate::table::Column;
use crate::table::Type::Text;
use crate::table::Unit::None;

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    std("sk_state", (Text, None), "sk->sk_state", "TCP state before the RST.", of!(ResetReceivedRecord, event.tcp.state).named(List(TCP_STATES))),
];

socket_event_type!(
    ResetReceivedRecord,
    TCC_EVENT_RESET_RECEIVED,
    "reset_received",
    "tcp:tcp_receive_reset",
    "A RST from the peer ends the connection.",
    view![
        ("PID", "pid", 6),
        ("COMM", "comm", 15),
        ("STATE", "sk_state", 11),
        ("CASTATE", "ca_state", 8),
        ("srtt", "srtt_us", 7)
    ]
);
