//! `cong_state`: tcp:tcp_cong_state_set.

use super::common::{Field, std};
use super::names::{CA_STATES, INFINITE_SSTHRESH, name};
use super::socket::{socket_kind, view};
use crate::skel::CongStateRecord;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::{Microseconds, None, Segments};
use crate::table::Value::{self, U64};

#[rustfmt::skip]
static FIELDS: &[Field<CongStateRecord>] = &[
    std("old_ca_state", (Text, None), "icsk_ca_state", "The recovery state that the sender leaves.", |r| name(CA_STATES, r.old_ca_state)),
    std("new_ca_state", (Text, None), "ca_state", "The one that it enters.", |r| name(CA_STATES, r.new_ca_state)),
    std("old_ca_state_us", (Unsigned, Microseconds), "since the last tcp_cong_state_set of this socket", "Time in the old state; null where its beginning was not seen.", |r| if r.old_ca_state_ns == 0 { Value::Null } else { U64(r.old_ca_state_ns / 1000) }),
    std("prior_cwnd", (Unsigned, Segments), "tp->prior_cwnd", "cwnd before the current or last reduction.", |r| U64(r.prior_cwnd.into())),
    std("prior_ssthresh", (Unsigned, Segments), "tp->prior_ssthresh", "ssthresh before it, restored by an undo; null: infinite.", |r| Value::unless(r.prior_ssthresh.into(), INFINITE_SSTHRESH)),
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
        ("us", "old_ca_state_us", 7),
        ("cwnd", "snd_cwnd", 4),
        ("ssthr", "snd_ssthresh", 5),
        ("flight", "packets_in_flight", 6),
    ]
);
