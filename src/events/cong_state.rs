//! `cong_state`: tcp:tcp_cong_state_set, or changes inferred from other tracepoints.

use super::Hook;
use super::common::{of, std};
use super::names::{CA_STATES, INFINITE_SSTHRESH};
use super::socket::{sender_columns, socket_event_type, view};
use crate::skel::CongStateRecord;
use crate::slot::Names::List;
use crate::table::Column;
use crate::table::Type::{Bool, Text, Unsigned};
use crate::table::Unit::{Microseconds, None, Segments};

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    std("old_ca_state", (Text, None), "icsk_ca_state", "Recovery state before the change.", of!(CongStateRecord, old_ca_state).named(List(CA_STATES))),
    std("new_ca_state", (Text, None), "ca_state", "Recovery state after the change.", of!(CongStateRecord, new_ca_state).named(List(CA_STATES))),
    std("old_ca_state_us", (Unsigned, Microseconds), "since the last tcp_cong_state_set of this socket", "Time in the old state. Null if its start was not observed.", of!(CongStateRecord, old_ca_state_ns).unset(0).divided(1000)),
    std("prior_cwnd", (Unsigned, Segments), "tp->prior_cwnd", "Congestion window before the current or last reduction.", of!(CongStateRecord, prior_cwnd)),
    std("prior_ssthresh", (Unsigned, Segments), "tp->prior_ssthresh", "Slow-start threshold that an undo restores. Null if infinite.", of!(CongStateRecord, prior_ssthresh).unset(INFINITE_SSTHRESH)),
    std("inferred", (Bool, None), "tcp:tcp_cong_state_set", "True if the change was found at a later packet or retransmission, because the kernel has no tracepoint for it (before Linux 5.19). All columns but `ca_state` then show the state at that time. Shorter episodes are missed.", of!(CongStateRecord, inferred).flag()),
];

const FALLBACK_HOOKS: &[Hook] = &[
    Hook { hook: "tcp:tcp_probe", without: Option::None },
    Hook { hook: "tcp:tcp_retransmit_skb", without: Option::None },
];

static SENDER: &[Column] = &sender_columns!(CongStateRecord);

socket_event_type!(
    CongStateRecord with SENDER,
    TCC_EVENT_CONG_STATE,
    "cong_state",
    "tcp:tcp_cong_state_set",
    "The sender's recovery state changes while the connection is open. Before Linux 5.19, changes are inferred from packets and retransmissions.",
    view![
        ("PID", "pid", 6),
        ("OLD", "old_ca_state", 8),
        ("NEW", "new_ca_state", 8),
        ("us", "old_ca_state_us", 7),
        ("cwnd", "snd_cwnd", 4),
        ("ssthr", "snd_ssthresh", 5),
        ("flight", "packets_in_flight", 6),
    ],
    fallback_hooks: FALLBACK_HOOKS
);
