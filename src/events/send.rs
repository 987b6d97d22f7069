//! `send`: tcp:tcp_sendmsg_locked, where nothing is unsent.

use super::common::{of, std};
use super::socket::{sender_columns, socket_event_type, view};
use crate::skel::SendRecord;
use crate::table::Column;
use crate::table::Type::Unsigned;
use crate::table::Unit::Bytes;

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    std("msg_left", (Unsigned, Bytes), "msg_data_left(msg)", "Bytes of the call that TCP has not taken yet: all of them at its beginning.", of!(SendRecord, msg_left)),
    std("size_goal", (Unsigned, Bytes), "size_goal", "Payload that a segment is filled up to before segmentation (TSO, GSO): a multiple of the MSS.", of!(SendRecord, size_goal)),
];

static SENDER: &[Column] = &sender_columns!(SendRecord);

socket_event_type!(
    SendRecord with SENDER,
    TCC_EVENT_SEND,
    "send",
    "tcp:tcp_sendmsg_locked",
    "The application writes, and everything that it wrote before has been sent. Without segments in flight, the connection was idle until then; otherwise the application limited it. Needs Linux 6.16.",
    view![
        ("PID", "pid", 6),
        ("COMM", "comm", 10),
        ("left", "msg_left", 8),
        ("goal", "size_goal", 6),
        ("cwnd", "snd_cwnd", 5),
        ("inflight", "packets_in_flight", 8),
    ]
);
