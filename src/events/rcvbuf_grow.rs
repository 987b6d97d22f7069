//! `rcvbuf_grow`: tcp:tcp_rcvbuf_grow.

use super::common::{full, of, std};
use super::socket::{socket_event_type, view};
use crate::skel::RcvbufGrowRecord;
use crate::table::Column;
use crate::table::Type::{Signed, Unsigned};
use crate::table::Unit::{Bytes, Microseconds, None};

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    std("time_us", (Unsigned, Microseconds), "time", "Time since the previous measurement, at least one RTT.", of!(RcvbufGrowRecord, time_us)),
    std("rcv_rtt_us", (Unsigned, Microseconds), "tp->rcv_rtt_est.rtt_us >> 3", "Receiver's RTT estimate.", of!(RcvbufGrowRecord, rcv_rtt_us)),
    std("copied", (Unsigned, Bytes), "tp->copied_seq - tp->rcvq_space.seq", "Bytes that the application has read in that time.", of!(RcvbufGrowRecord, copied)),
    std("inq", (Unsigned, Bytes), "tp->rcv_nxt - tp->copied_seq", "Bytes that it has yet to read.", of!(RcvbufGrowRecord, inq)),
    std("rcv_space", (Unsigned, Bytes), "tp->rcvq_space.space", "Most bytes that the application has read in one RTT before.", of!(RcvbufGrowRecord, rcv_space)),
    std("ooo_space", (Unsigned, Bytes), "end_seq of tp->ooo_last_skb - tp->rcv_nxt", "Bytes from the first gap to the end of the out-of-order queue. 0 if that is empty.", of!(RcvbufGrowRecord, ooo_space)),
    std("rcvbuf", (Signed, Bytes), "sk->sk_rcvbuf", "Receive buffer limit, before it grows.", of!(RcvbufGrowRecord, rcvbuf)),
    std("rcv_ssthresh", (Unsigned, Bytes), "tp->rcv_ssthresh", "Current limit of the advertised window.", of!(RcvbufGrowRecord, rcv_ssthresh)),
    std("window_clamp", (Unsigned, Bytes), "tp->window_clamp", "Largest window that may be advertised, before it grows.", of!(RcvbufGrowRecord, window_clamp)),
    std("rcv_wnd", (Unsigned, Bytes), "tp->rcv_wnd", "Receive window last advertised.", of!(RcvbufGrowRecord, event.tcp.rcv_wnd)),
    full("scaling_ratio", (Unsigned, None), "tp->scaling_ratio", "Payload in 256 bytes of buffer, as estimated.", of!(RcvbufGrowRecord, scaling_ratio)),
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
