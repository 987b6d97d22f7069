//! `cong_state`: tcp:tcp_cong_state_set.

use super::common::{Field, std};
use super::names::{CA_STATES, name};
use super::socket::{socket_kind, view};
use crate::skel::CongStateRecord;
use crate::table::Type::Text;
use crate::table::Unit::None;

#[rustfmt::skip]
static FIELDS: &[Field<CongStateRecord>] = &[
    std("old_ca_state", (Text, None), "icsk_ca_state", "The recovery state that the sender leaves.", |r| name(CA_STATES, r.old_ca_state)),
    std("new_ca_state", (Text, None), "ca_state", "The one that it enters.", |r| name(CA_STATES, r.new_ca_state)),
];

socket_kind!(
    CongStateRecord,
    TCC_KIND_CONG_STATE,
    "cong_state",
    "tcp:tcp_cong_state_set",
    "The sender's recovery state changes (5.19).",
    view![
        ("PID", "pid", 6),
        ("OLD", "old_ca_state", 8),
        ("NEW", "new_ca_state", 8),
        ("cwnd", "snd_cwnd", 5),
        ("ssthr", "snd_ssthresh", 5),
        ("inflight", "packets_in_flight", 8),
    ]
);
