//! `destroy`: tcp:tcp_destroy_sock.

use super::Tracker;
use super::common::{full, of, std};
use super::socket::{PRESENT, socket_event_type, view};
use crate::skel::DestroyRecord;
use crate::table::Column;
use crate::table::Type::Unsigned;
use crate::table::Unit::{Bytes, Count, Microseconds, Segments};

#[rustfmt::skip]
// Null if tcp_disconnect() has cleared them.
static COLUMNS: &[Column] = &[
    std("bytes_sent", (Unsigned, Bytes), "tp->bytes_sent", "Payload bytes sent, retransmissions included.", of!(DestroyRecord, totals.bytes_sent).when(PRESENT)),
    std("bytes_retrans", (Unsigned, Bytes), "tp->bytes_retrans", "Payload bytes retransmitted.", of!(DestroyRecord, totals.bytes_retrans).when(PRESENT)),
    full("segs_in", (Unsigned, Segments), "tp->segs_in", "Segments received.", of!(DestroyRecord, totals.segs_in).when(PRESENT)),
    full("segs_out", (Unsigned, Segments), "tp->segs_out", "Segments sent.", of!(DestroyRecord, totals.segs_out).when(PRESENT)),
    full("data_segs_in", (Unsigned, Segments), "tp->data_segs_in", "Segments with payload received.", of!(DestroyRecord, totals.data_segs_in).when(PRESENT)),
    full("data_segs_out", (Unsigned, Segments), "tp->data_segs_out", "Segments with payload sent.", of!(DestroyRecord, totals.data_segs_out).when(PRESENT)),
    std("min_rtt_us", (Unsigned, Microseconds), "tcp_min_rtt(tp)", "Minimum RTT over the last tcp_min_rtt_wlen seconds. Null without a sample.", of!(DestroyRecord, totals.min_rtt_us).unset(u32::MAX as u64).when(PRESENT)),
    full("delivered", (Unsigned, Segments), "tp->delivered", "Segments delivered to the peer, retransmissions included.", of!(DestroyRecord, totals.delivered).when(PRESENT)),
    full("lost", (Unsigned, Segments), "tp->lost", "Segments marked lost.", of!(DestroyRecord, totals.lost).when(PRESENT)),
    full("dsack_dups", (Unsigned, Count), "tp->dsack_dups", "Duplicate segments that the peer reported by DSACK.", of!(DestroyRecord, totals.dsack_dups).when(PRESENT)),
];

socket_event_type!(
    DestroyRecord,
    TCC_EVENT_DESTROY,
    "destroy",
    "tcp:tcp_destroy_sock",
    "A socket is destroyed: the connection's last event, with its totals at close. The totals are null if tcp_disconnect() has cleared them.",
    view![
        ("PID", "pid", 6),
        ("COMM", "comm", 10),
        ("sent", "bytes_sent", 10),
        ("retrans", "bytes_retrans", 8),
        ("min_rtt", "min_rtt_us", 8),
    ],
    trackers: &[Tracker::Closed]
);
