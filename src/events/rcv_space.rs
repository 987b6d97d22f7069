//! `rcv_space`: tcp:tcp_rcv_space_adjust.

use super::common::{Field, std};
use super::socket::{socket_event_type, view};
use crate::skel::RcvSpaceRecord;
use crate::table::Type::{Signed, Unsigned};
use crate::table::Unit::{Bytes, Microseconds};
use crate::table::Value::{self, I64, U64};

#[rustfmt::skip]
static FIELDS: &[Field<RcvSpaceRecord>] = &[
    std("rcv_rtt_us", (Unsigned, Microseconds), "tp->rcv_rtt_est.rtt_us >> 3", "The receiver's estimate of the RTT; null before the first.", |r| Value::unless(r.rcv_rtt_us.into(), 0)),
    std("rcv_space", (Unsigned, Bytes), "tp->rcvq_space.space", "What the application took in the last RTT.", |r| U64(r.rcv_space.into())),
    std("rcvbuf", (Signed, Bytes), "sk->sk_rcvbuf", "Receive buffer.", |r| I64(r.rcvbuf.into())),
    std("rmem_alloc", (Signed, Bytes), "sk->sk_rmem_alloc", "Of that in use.", |r| I64(r.rmem_alloc.into())),
    std("rcv_ssthresh", (Unsigned, Bytes), "tp->rcv_ssthresh", "Bound of the window that is announced.", |r| U64(r.rcv_ssthresh.into())),
    std("window_clamp", (Unsigned, Bytes), "tp->window_clamp", "Greatest window that may be announced.", |r| U64(r.window_clamp.into())),
];

socket_event_type!(
    RcvSpaceRecord,
    TCC_EVENT_RCV_SPACE,
    "rcv_space",
    "tcp:tcp_rcv_space_adjust",
    "The application has taken data, and the kernel looks whether the receive buffer should grow.",
    view![
        ("PID", "pid", 6),
        ("rcv_rtt", "rcv_rtt_us", 7),
        ("space", "rcv_space", 8),
        ("rcvbuf", "rcvbuf", 8),
        ("used", "rmem_alloc", 8),
        ("clamp", "window_clamp", 8),
    ]
);
