//! `destroy`: tcp:tcp_destroy_sock.

use super::Tracker;
use super::common::{Field, full, std};
use super::socket::{self, is_known, socket_event_type, view};
use crate::skel::{DestroyRecord, Totals};
use crate::table::Type::Unsigned;
use crate::table::Unit::{Bytes, Count, Microseconds, Segments};
use crate::table::Value::{self, Null, U64};

/// A total; null if tcp_disconnect() has cleared it.
macro_rules! of_totals {
    (|$t:ident| $value:expr) => {
        |r| {
            if is_known(&r.event.tcp) {
                (|$t: &Totals| -> Value<'static> { $value })(&r.totals)
            } else {
                Null
            }
        }
    };
}

#[rustfmt::skip]
static FIELDS: &[Field<DestroyRecord>] = &[
    std("bytes_sent", (Unsigned, Bytes), "tp->bytes_sent", "Payload bytes sent, retransmissions included.", of_totals!(|t| U64(t.bytes_sent))),
    std("bytes_retrans", (Unsigned, Bytes), "tp->bytes_retrans", "Payload bytes retransmitted.", of_totals!(|t| U64(t.bytes_retrans))),
    full("segs_in", (Unsigned, Segments), "tp->segs_in", "Segments received.", of_totals!(|t| U64(t.segs_in.into()))),
    full("segs_out", (Unsigned, Segments), "tp->segs_out", "Segments sent.", of_totals!(|t| U64(t.segs_out.into()))),
    full("data_segs_in", (Unsigned, Segments), "tp->data_segs_in", "Segments with payload received.", of_totals!(|t| U64(t.data_segs_in.into()))),
    full("data_segs_out", (Unsigned, Segments), "tp->data_segs_out", "Segments with payload sent.", of_totals!(|t| U64(t.data_segs_out.into()))),
    std("min_rtt_us", (Unsigned, Microseconds), "tcp_min_rtt(tp)", "Minimum RTT over the last tcp_min_rtt_wlen seconds. Null without a sample.", of_totals!(|t| Value::unless(t.min_rtt_us.into(), u64::from(u32::MAX)))),
    full("delivered", (Unsigned, Segments), "tp->delivered", "Segments delivered to the peer, retransmissions included.", of_totals!(|t| U64(t.delivered.into()))),
    full("lost", (Unsigned, Segments), "tp->lost", "Segments marked lost.", of_totals!(|t| U64(t.lost.into()))),
    full("dsack_dups", (Unsigned, Count), "tp->dsack_dups", "Duplicate segments that the peer reported by DSACK.", of_totals!(|t| U64(t.dsack_dups.into()))),
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
    |bytes, _, index| socket::value(FIELDS, bytes, index),
    trackers: &[Tracker::Closed]
);
