//! `reset_received`: tcp:tcp_receive_reset.

use super::common::Field;
use super::socket::{socket_kind, view};
use crate::skel::ResetReceivedRecord;

static FIELDS: &[Field<ResetReceivedRecord>] = &[];

socket_kind!(
    ResetReceivedRecord,
    TCC_KIND_RESET_RECEIVED,
    "reset_received",
    "tcp:tcp_receive_reset",
    "The peer's RST ends the connection.",
    view![
        ("PID", "pid", 6),
        ("COMM", "comm", 15),
        ("CASTATE", "ca_state", 8),
        ("srtt", "srtt_us", 7)
    ]
);
