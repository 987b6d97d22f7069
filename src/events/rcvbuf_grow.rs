//! `rcvbuf_grow`: tcp:tcp_rcvbuf_grow.

use super::common::{Field, full, std};
use super::socket::{socket_event_type, view};
use crate::skel::RcvbufGrowRecord;
use crate::table::Type::{Signed, Unsigned};
use crate::table::Unit::{Bytes, Microseconds, None};
use crate::table::Value::{I64, U64};

#[rustfmt::skip]
static FIELDS: &[Field<RcvbufGrowRecord>] = &[
    std("time_us", (Unsigned, Microseconds), "time", "Time since the previous measurement, at least one RTT.", |r| U64(r.time_us.into())),
    std("rcv_rtt_us", (Unsigned, Microseconds), "tp->rcv_rtt_est.rtt_us >> 3", "Receiver's RTT estimate.", |r| U64(r.rcv_rtt_us.into())),
    std("copied", (Unsigned, Bytes), "tp->copied_seq - tp->rcvq_space.seq", "Bytes that the application has read in that time.", |r| U64(r.copied.into())),
    std("inq", (Unsigned, Bytes), "tp->rcv_nxt - tp->copied_seq", "Bytes that it has yet to read.", |r| U64(r.inq.into())),
    std("rcv_space", (Unsigned, Bytes), "tp->rcvq_space.space", "Most bytes that the application has read in one RTT before.", |r| U64(r.rcv_space.into())),
    std("ooo_space", (Unsigned, Bytes), "end_seq of tp->ooo_last_skb - tp->rcv_nxt", "Bytes from the first gap to the end of the out-of-order queue. 0 if that is empty.", |r| U64(r.ooo_space.into())),
    std("rcvbuf", (Signed, Bytes), "sk->sk_rcvbuf", "Receive buffer limit, before it grows.", |r| I64(r.rcvbuf.into())),
    std("rcv_ssthresh", (Unsigned, Bytes), "tp->rcv_ssthresh", "Current limit of the advertised window.", |r| U64(r.rcv_ssthresh.into())),
    std("window_clamp", (Unsigned, Bytes), "tp->window_clamp", "Largest window that may be advertised, before it grows.", |r| U64(r.window_clamp.into())),
    std("rcv_wnd", (Unsigned, Bytes), "tp->rcv_wnd", "Receive window last advertised.", |r| U64(r.event.tcp.rcv_wnd.into())),
    full("scaling_ratio", (Unsigned, None), "tp->scaling_ratio", "Payload in 256 bytes of buffer, as estimated.", |r| U64(r.scaling_ratio.into())),
];

socket_event_type!(
    RcvbufGrowRecord,
    TCC_EVENT_RCVBUF_GROW,
    "rcvbuf_grow",
    "tcp:tcp_rcvbuf_grow",
    "The application has read more in one RTT than ever before, so the receive buffer may grow. Needs Linux 6.16.",
    view![
        ("PID", "pid", 6),
        ("rcv_rtt", "rcv_rtt_us", 7),
        ("copied", "copied", 8),
        ("space", "rcv_space", 8),
        ("ooo", "ooo_space", 7),
        ("rcvbuf", "rcvbuf", 8),
    ]
);
