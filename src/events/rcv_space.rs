//! `rcv_space`: tcp:tcp_rcv_space_adjust.

use super::common::{Field, std};
use super::socket::{socket_event_type, view};
use crate::skel::RcvSpaceRecord;
use crate::table::Type::{Signed, Unsigned};
use crate::table::Unit::{Bytes, Microseconds};
use crate::table::Value::{self, I64, U64};

#[rustfmt::skip]
static FIELDS: &[Field<RcvSpaceRecord>] = &[
    std("rcv_rtt_us", (Unsigned, Microseconds), "tp->rcv_rtt_est.rtt_us >> 3", "Receiver's RTT estimate. Null before the first.", |r| Value::unless(r.rcv_rtt_us.into(), 0)),
    std("rcv_space", (Unsigned, Bytes), "tp->rcvq_space.space", "Most bytes that the application has read in one RTT so far.", |r| U64(r.rcv_space.into())),
    std("rcvbuf", (Signed, Bytes), "sk->sk_rcvbuf", "Receive buffer limit.", |r| I64(r.rcvbuf.into())),
    std("rmem_alloc", (Signed, Bytes), "sk->sk_rmem_alloc", "Receive buffer memory in use.", |r| I64(r.rmem_alloc.into())),
    std("rcv_ssthresh", (Unsigned, Bytes), "tp->rcv_ssthresh", "Current limit of the advertised window.", |r| U64(r.rcv_ssthresh.into())),
    std("window_clamp", (Unsigned, Bytes), "tp->window_clamp", "Largest window that may be advertised.", |r| U64(r.window_clamp.into())),
];

socket_event_type!(
    RcvSpaceRecord,
    TCC_EVENT_RCV_SPACE,
    "rcv_space",
    "tcp:tcp_rcv_space_adjust",
    "The application has read data, and the kernel checks whether to grow the receive buffer.",
    view![
        ("PID", "pid", 6),
        ("rcv_rtt", "rcv_rtt_us", 7),
        ("space", "rcv_space", 8),
        ("rcvbuf", "rcvbuf", 8),
        ("used", "rmem_alloc", 8),
        ("clamp", "window_clamp", 8),
    ]
);
