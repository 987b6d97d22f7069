//! `rcv_space`: tcp:tcp_rcv_space_adjust.

use super::common::{of, std};
use super::socket::{socket_event_type, view};
use crate::skel::RcvSpaceRecord;
use crate::table::Column;
use crate::table::Type::{Signed, Unsigned};
use crate::table::Unit::{Bytes, Microseconds};

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    std("rcv_rtt_us", (Unsigned, Microseconds), "tp->rcv_rtt_est.rtt_us >> 3", "Receiver's RTT estimate. Null before the first.", of!(RcvSpaceRecord, rcv_rtt_us).unset(0)),
    std("rcv_space", (Unsigned, Bytes), "tp->rcvq_space.space", "Most bytes that the application has read in one RTT so far.", of!(RcvSpaceRecord, rcv_space)),
    std("rcvbuf", (Signed, Bytes), "sk->sk_rcvbuf", "Receive buffer limit.", of!(RcvSpaceRecord, rcvbuf)),
    std("rmem_alloc", (Signed, Bytes), "sk->sk_rmem_alloc", "Receive buffer memory in use.", of!(RcvSpaceRecord, rmem_alloc)),
    std("rcv_ssthresh", (Unsigned, Bytes), "tp->rcv_ssthresh", "Current limit of the advertised window.", of!(RcvSpaceRecord, rcv_ssthresh)),
    std("window_clamp", (Unsigned, Bytes), "tp->window_clamp", "Largest window that may be advertised.", of!(RcvSpaceRecord, window_clamp)),
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
