//! `destroy`: tcp:tcp_destroy_sock.

use super::common::{Field, full, std};
use super::socket::{socket_kind, view};
use crate::skel::DestroyRecord;
use crate::table::Type::Unsigned;
use crate::table::Unit::{Bytes, Count, Microseconds, Segments};
use crate::table::Value::{self, U64};

#[rustfmt::skip]
static FIELDS: &[Field<DestroyRecord>] = &[
    std("bytes_sent", (Unsigned, Bytes), "tp->bytes_sent", "Payload sent, retransmissions included.", |r| U64(r.bytes_sent)),
    std("bytes_retrans", (Unsigned, Bytes), "tp->bytes_retrans", "Payload sent again.", |r| U64(r.bytes_retrans)),
    full("segs_in", (Unsigned, Segments), "tp->segs_in", "Segments received.", |r| U64(r.segs_in.into())),
    full("segs_out", (Unsigned, Segments), "tp->segs_out", "Segments sent.", |r| U64(r.segs_out.into())),
    full("data_segs_in", (Unsigned, Segments), "tp->data_segs_in", "Segments with payload received.", |r| U64(r.data_segs_in.into())),
    full("data_segs_out", (Unsigned, Segments), "tp->data_segs_out", "Segments with payload sent.", |r| U64(r.data_segs_out.into())),
    std("min_rtt_us", (Unsigned, Microseconds), "tcp_min_rtt(tp)", "Smallest RTT in the window of tcp_min_rtt_wlen; null: no sample.", |r| Value::unless(r.min_rtt_us.into(), u64::from(u32::MAX))),
    full("delivered", (Unsigned, Segments), "tp->delivered", "Segments that the peer has, retransmissions included.", |r| U64(r.delivered.into())),
    full("lost", (Unsigned, Segments), "tp->lost", "Segments marked lost.", |r| U64(r.lost.into())),
    full("dsack_dups", (Unsigned, Count), "tp->dsack_dups", "Duplicates that the peer reported by DSACK.", |r| U64(r.dsack_dups.into())),
];

socket_kind!(
    DestroyRecord,
    TCC_KIND_DESTROY,
    "destroy",
    "tcp:tcp_destroy_sock",
    "The connection's last event, with its totals.",
    view![
        ("PID", "pid", 6),
        ("COMM", "comm", 10),
        ("sent", "bytes_sent", 10),
        ("retrans", "bytes_retrans", 8),
        ("min_rtt", "min_rtt_us", 8),
    ]
);
