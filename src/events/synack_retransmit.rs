//! `synack_retransmit`: tcp:tcp_retransmit_synack.

use super::common::{of, std};
use super::socket::{socket_event_type, view};
use crate::skel::SynackRetransmitRecord;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::{Count, None};
use crate::table::{Column, Origin};

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    std("class", (Text, None), "constant", "Always `synack`: one more class beside those of `retransmit`.", Origin::Constant("synack")),
    std("attempt", (Unsigned, Count), "req->num_retrans + 1", "Number of the retransmission, from 1. Caused by the timer or by a repeated SYN.", of!(SynackRetransmitRecord, attempt)),
];

socket_event_type!(
    SynackRetransmitRecord,
    TCC_EVENT_SYNACK_RETRANSMIT,
    "synack_retransmit",
    "tcp:tcp_retransmit_synack",
    "A SYN-ACK is retransmitted. The connection does not exist yet, so the cookie is that of the listener.",
    view![("ATTEMPT", "attempt", 7)]
);
