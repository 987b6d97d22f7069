//! `cong_state`: tcp:tcp_cong_state_set, or what can be seen without it.

use super::Hook;
use super::common::{Field, std};
use super::names::{CA_STATES, INFINITE_SSTHRESH, name};
use super::socket::{socket_event_type, view};
use crate::skel::CongStateRecord;
use crate::table::Type::{Bool, Text, Unsigned};
use crate::table::Unit::{Microseconds, None, Segments};
use crate::table::Value::{self, U64};

#[rustfmt::skip]
static FIELDS: &[Field<CongStateRecord>] = &[
    std("old_ca_state", (Text, None), "icsk_ca_state", "The recovery state that the sender leaves.", |r| name(CA_STATES, r.old_ca_state)),
    std("new_ca_state", (Text, None), "ca_state", "The one that it enters.", |r| name(CA_STATES, r.new_ca_state)),
    std("old_ca_state_us", (Unsigned, Microseconds), "since the last tcp_cong_state_set of this socket", "Time in the old state; null where its beginning was not seen.", |r| if r.old_ca_state_ns == 0 { Value::Null } else { U64(r.old_ca_state_ns / 1000) }),
    std("prior_cwnd", (Unsigned, Segments), "tp->prior_cwnd", "cwnd before the current or last reduction.", |r| U64(r.prior_cwnd.into())),
    std("prior_ssthresh", (Unsigned, Segments), "tp->prior_ssthresh", "ssthresh before it, restored by an undo; null: infinite.", |r| Value::unless(r.prior_ssthresh.into(), INFINITE_SSTHRESH)),
    std("inferred", (Bool, None), "tcp:tcp_cong_state_set", "The kernel has no such tracepoint (before 5.19): the change was found at the next packet or retransmission, after the fact; the other fields but `ca_state` are of then. What was over before is not seen.", |r| Value::Bool(r.inferred != 0)),
];

const INSTEAD: &[Hook] = &[
    Hook { hook: "tcp:tcp_probe", program: "cong_seen", without: Option::None },
    Hook { hook: "tcp:tcp_retransmit_skb", program: "cong_seen_retransmit", without: Option::None },
];

socket_event_type!(
    CongStateRecord,
    TCC_EVENT_CONG_STATE,
    "cong_state",
    "tcp:tcp_cong_state_set" or INSTEAD,
    "The sender's recovery state changes, to another one and before the connection is closed. Before 5.19 as far as it can be told from packets and retransmissions.",
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
