//! `retransmit`: tcp:tcp_retransmit_skb.

use super::common::{Field, full, needs, std};
use super::names::name;
use super::socket::{socket_event_type, view};
use crate::skel::RetransmitRecord;
use crate::table::Member;
use crate::table::Type::{Signed, Text, Unsigned};
use crate::table::Unit::{Bytes, None, Segments, Sequence};
use crate::table::Value::{I64, U64};

/// `enum tcc_retransmit_class`.
const CLASSES: &[&str] = &["other", "fast", "rto", "slow_start", "tlp", "syn"];
const FIN_OR_SYN: u8 = 3;

const ERR: Member = Member { type_name: "trace_event_raw_tcp_retransmit_skb", member: "err" };

/// Payload length; SYN and FIN take a sequence number each.
fn len(r: &RetransmitRecord) -> u32 {
    let flags = (r.tcp_flags & FIN_OR_SYN).count_ones();
    r.end_seq.wrapping_sub(r.seq).wrapping_sub(flags)
}

#[rustfmt::skip]
static FIELDS: &[Field<RetransmitRecord>] = &[
    std("class", (Text, None), "icsk_ca_state, icsk_pending", "Cause: fast (in Recovery), rto (the retransmission timer itself), slow_start (the rest of the queue in Loss), tlp (tail loss probe), syn, or other.", |r| name(CLASSES, r.class)),
    std("seq", (Unsigned, Sequence), "TCP_SKB_CB(skb)->seq", "First sequence number retransmitted.", |r| U64(r.seq.into())),
    std("data_len", (Unsigned, Bytes), "TCP_SKB_CB(skb)->end_seq - seq", "Payload length.", |r| U64(len(r).into())),
    std("segs", (Unsigned, Segments), "tcp_skb_pcount(skb)", "Segments retransmitted, as counted by RetransSegs. 0 if the kernel gave up before sending (see `err`).", |r| U64(r.segs.into())),
    needs(ERR, full("err", (Signed, None), "err", "Result as a negative errno. 0 if sent; -16 (EBUSY) if the first transmission is still in a qdisc. Null before Linux 6.17, which reports successful ones only.", |r| I64(r.err.into()))),
    full("tcp_flags", (Unsigned, None), "TCP_SKB_CB(skb)->tcp_flags", "TCP flags, as a number.", |r| U64(r.tcp_flags.into())),
];

socket_event_type!(
    RetransmitRecord,
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
