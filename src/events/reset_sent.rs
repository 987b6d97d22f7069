//! `reset_sent`: tcp:tcp_send_reset.

use super::Types;
use super::common::{Field, needs, std};
use super::names::{TCP_STATES, name};
use super::socket::{self, socket_event_type, view};
use crate::skel::ResetSentRecord;
use crate::table::Member;
use crate::table::Type::Text;
use crate::table::Unit::None;
use crate::table::Value::{self, Null, Str};

const REASON_ARGUMENT: Member =
    Member { type_name: "trace_event_raw_tcp_send_reset", member: "reason" };

#[rustfmt::skip]
static FIELDS: &[Field<ResetSentRecord>] = &[
    // The names differ between kernels: see value().
    needs(REASON_ARGUMENT, std("reason", (Text, None), "enum sk_rst_reason", "Reason, by this kernel's name. Null before Linux 6.10, and for numbers without a name.", |_| Null)),
    std("sk_state", (Text, None), "sk->sk_state", "TCP state of the socket. Null without a socket.", |r| if r.state == 0 { Null } else { name(TCP_STATES, r.state) }),
];

const REASON: usize = 0;

fn value<'a>(bytes: &'a [u8], types: &'a Types, index: usize) -> Value<'a> {
    if index != REASON {
        return socket::value(FIELDS, bytes, index);
    }
    match plain::from_bytes::<ResetSentRecord>(bytes) {
        Ok(r) if r.has_reason != 0 => {
            types.reset_reasons.get(&r.reason.into()).map_or(Null, |name| Str(name))
        }
        _ => Null,
    }
}

socket_event_type!(
    ResetSentRecord,
    TCC_EVENT_RESET_SENT,
    "reset_sent",
    "tcp:tcp_send_reset",
    "The kernel sends a RST. Since Linux 6.10 this includes RSTs sent without a socket.",
    view![("PID", "pid", 6), ("STATE", "sk_state", 11), ("REASON", "reason", 20)],
    value
);
