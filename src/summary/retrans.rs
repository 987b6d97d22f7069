//! `retrans --by`: retransmitted segments by cause.

use super::key::{KEY, column};
use crate::skel::RetransSum;
use crate::table::Column;
use crate::table::Type::Unsigned;
use crate::table::Unit::{self, Count, Segments};
use crate::table::summary::SumValue::{All, Cookie, Sum};
use crate::table::summary::{
    AggregateSource, AggregateType, SumValue, SumsLayout, ViewColumn, view,
};

/// Segments of each class, then events.
const EVENTS: usize = RetransSum::TCC_SUM_EVENTS.0 as usize;

pub static AGGREGATE: AggregateType = AggregateType {
    command: "retrans",
    doc: "Retransmitted segments by cause, one record per key (`retrans --by`).",
    key: &KEY,
    columns: &COLUMNS,
    source: AggregateSource::Sums(SumsLayout {
        values: &VALUES,
        view: VIEW,
        events: EVENTS,
        weight: 0..EVENTS,
        state_times: false,
        title: |events, segs| format!("{events} retransmissions of {segs} segments"),
    }),
};

#[rustfmt::skip]
pub static COLUMNS: [Column; 10] = [
    column("cookie", (Unsigned, Unit::None), "SO_COOKIE", "Socket cookie of the connection, of the last one if there were several. Null if the kernel has not generated one."),
    column("events", (Unsigned, Count), "counted", "Retransmissions, each of one or several segments."),
    column("segs", (Unsigned, Segments), "tcp_skb_pcount(skb)", "Segments retransmitted, as counted by RetransSegs: the sum of the columns below."),
    column("other_segs", (Unsigned, Segments), "class of retransmit", "Segments of class `other`."),
    column("fast_segs", (Unsigned, Segments), "class of retransmit", "Segments of class `fast`: in Recovery."),
    column("rto_segs", (Unsigned, Segments), "class of retransmit", "Segments of class `rto`: by the retransmission timer itself."),
    column("slow_start_segs", (Unsigned, Segments), "class of retransmit", "Segments of class `slow_start`: the rest of the queue in Loss."),
    column("tlp_segs", (Unsigned, Segments), "class of retransmit", "Segments of class `tlp`: tail loss probes."),
    column("syn_segs", (Unsigned, Segments), "class of retransmit", "Segments of class `syn`."),
    column("synack_segs", (Unsigned, Segments), "tcp:tcp_retransmit_synack", "SYN-ACKs, sent by a listener before there is a connection."),
];

const VIEW: &[ViewColumn] = &[
    view("EVENTS", "events", 6, 1),
    view("SEGS", "segs", 6, 1),
    view("FAST", "fast_segs", 6, 1),
    view("RTO", "rto_segs", 4, 1),
    view("SLOW", "slow_start_segs", 4, 1),
    view("TLP", "tlp_segs", 3, 1),
    view("SYN", "syn_segs", 3, 1),
    view("SYNACK", "synack_segs", 6, 1),
    view("OTHER", "other_segs", 5, 1),
];

/// By class (`enum tcc_retransmit_class`).
static VALUES: [SumValue; COLUMNS.len()] = [
    Cookie,
    Sum(EVENTS),
    All(0..EVENTS),
    Sum(0),
    Sum(1),
    Sum(2),
    Sum(3),
    Sum(4),
    Sum(5),
    Sum(RetransSum::TCC_SUM_SYNACK.0 as usize),
];
