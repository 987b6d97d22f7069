//! `retransmit`: tcp:tcp_retransmit_skb.

use super::common::{call, full, needs, of, std};
use super::computed::difference;
use super::socket::{sender_columns, socket_event_type, view};
use crate::skel::RetransmitRecord;
use crate::slot::Names::List;
use crate::table::Type::{Signed, Text, Unsigned};
use crate::table::Unit::{Bytes, None, Segments, Sequence};
use crate::table::Value::{self, U64};
use crate::table::origin::Inputs;
use crate::table::{Column, Member};

/// `enum tcc_retransmit_class`.
const CLASSES: &[&str] = &["other", "fast", "rto", "slow_start", "tlp", "syn"];
const FIN_OR_SYN: u64 = 3;

const ERR: Member = Member { type_name: "trace_event_raw_tcp_retransmit_skb", member: "err" };

/// Payload length; SYN and FIN take a sequence number each.
fn len([end_seq, seq, tcp_flags, ..]: Inputs) -> Value<'static> {
    let flags = (tcp_flags & FIN_OR_SYN).count_ones();
    U64(difference(end_seq, seq + u64::from(flags)))
}

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    std("class", (Text, None), "icsk_ca_state, icsk_pending", "Cause: fast (in Recovery), rto (the retransmission timer itself), slow_start (the rest of the queue in Loss), tlp (tail loss probe), syn, or other.", of!(RetransmitRecord, class).named(List(CLASSES))),
    std("seq", (Unsigned, Sequence), "TCP_SKB_CB(skb)->seq", "First sequence number retransmitted.", of!(RetransmitRecord, seq)),
    std("data_len", (Unsigned, Bytes), "TCP_SKB_CB(skb)->end_seq - seq", "Payload length.", call!(RetransmitRecord, [end_seq, seq, tcp_flags], len)),
    std("segs", (Unsigned, Segments), "tcp_skb_pcount(skb)", "Segments retransmitted, as counted by RetransSegs. 0 if the kernel gave up before sending (see `err`).", of!(RetransmitRecord, segs)),
    needs(ERR, full("err", (Signed, None), "err", "Result as a negative errno. 0 if sent; -16 (EBUSY) if the first transmission is still in a qdisc. Null before Linux 6.17, which reports successful ones only.", of!(RetransmitRecord, err))),
    full("tcp_flags", (Unsigned, None), "TCP_SKB_CB(skb)->tcp_flags", "TCP flags, as a number.", of!(RetransmitRecord, tcp_flags)),
];

static SENDER: &[Column] = &sender_columns!(RetransmitRecord);

socket_event_type!(
    RetransmitRecord with SENDER,
    TCC_EVENT_RETRANSMIT,
    "retransmit",
    "tcp:tcp_retransmit_skb",
    "A segment, or several at once, is retransmitted. Since Linux 6.17 this includes failed attempts.",
    view![
        ("PID", "pid", 6),
        ("CLASS", "class", 10),
        ("segs", "segs", 4),
        ("len", "data_len", 5),
        ("CASTATE", "ca_state", 8),
        ("cwnd", "snd_cwnd", 5),
        ("inflight", "packets_in_flight", 8),
    ]
);
