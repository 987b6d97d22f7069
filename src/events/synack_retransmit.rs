//! `synack_retransmit`: tcp:tcp_retransmit_synack.

use super::common::{Field, std};
use super::socket::{socket_event_type, view};
use crate::skel::SynackRetransmitRecord;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::{Count, None};
use crate::table::Value::{Str, U64};

#[rustfmt::skip]
static FIELDS: &[Field<SynackRetransmitRecord>] = &[
    std("class", (Text, None), "this event", "synack: what it is among the classes of `retransmit`.", |_| Str("synack")),
    std("attempt", (Unsigned, Count), "req->num_retrans + 1", "Which sending again it is, by the timer or as the SYN came again: 1 for the first.", |r| U64(r.attempt.into())),
];

socket_event_type!(
    SynackRetransmitRecord,
    TCC_EVENT_SYNACK_RETRANSMIT,
    "synack_retransmit",
    "tcp:tcp_retransmit_synack",
    "A SYN-ACK is sent again. The cookie is the listener's, as there is no connection yet.",
    view![("ATTEMPT", "attempt", 7)]
);
