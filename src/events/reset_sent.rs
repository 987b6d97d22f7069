//! `reset_sent`: tcp:tcp_send_reset.

use super::common::{needs, of, slot, std};
use super::names::TCP_STATES;
use super::socket::{socket_event_type, view};
use crate::skel::ResetSentRecord;
use crate::slot::Names::{Kernel, List};
use crate::slot::{Condition, KernelEnum};
use crate::table::Type::Text;
use crate::table::Unit::None;
use crate::table::{Column, Member};

const REASON_ARGUMENT: Member =
    Member { type_name: "trace_event_raw_tcp_send_reset", member: "reason" };

const HAS_REASON: &[Condition] = &[Condition::is_not(slot!(ResetSentRecord, has_reason), 0)];

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    needs(REASON_ARGUMENT, std("reason", (Text, None), "enum sk_rst_reason", "Reason, by this kernel's name. Null before Linux 6.10, and for numbers without a name.", of!(ResetSentRecord, reason).named(Kernel(KernelEnum::ResetReason)).when(HAS_REASON))),
    std("sk_state", (Text, None), "sk->sk_state", "TCP state of the socket. Null without a socket.", of!(ResetSentRecord, state).unset(0).named(List(TCP_STATES))),
];

socket_event_type!(
    ResetSentRecord,
    TCC_EVENT_RESET_SENT,
    "reset_sent",
    "tcp:tcp_send_reset",
    "The kernel sends a RST. Since Linux 6.10 this includes RSTs sent without a socket.",
    view![("PID", "pid", 6), ("STATE", "sk_state", 11), ("REASON", "reason", 20)]
);
