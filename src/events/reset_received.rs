//! `reset_received`: tcp:tcp_receive_reset.

use super::common::{Field, std};
use super::names::{TCP_STATES, name};
use super::socket::{socket_event_type, view};
use crate::skel::ResetReceivedRecord;
use crate::table::Type::Text;
use crate::table::Unit::None;

#[rustfmt::skip]
static FIELDS: &[Field<ResetReceivedRecord>] = &[
    std("sk_state", (Text, None), "sk->sk_state", "TCP state before the RST.", |r| name(TCP_STATES, r.event.tcp.state)),
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
