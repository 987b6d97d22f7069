//! `spurious`: retransmissions that the kernel finds to have been unnecessary.

use super::Hook;
use super::common::{Field, full, std, us};
use super::names::{CA_STATES, INFINITE_SSTHRESH, name};
use super::socket::{socket_event_type, view};
use crate::skel::SpuriousRecord;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::{Count, Microseconds, None, Segments, Sequence};
use crate::table::Value::{self, Null, U64};

/// `enum tcc_spurious_evidence`.
const EVIDENCE: &[&str] = &["dsack", "undo"];
/// `enum tcc_undo`.
const UNDOS: &[&str] = &["", "full", "partial", "dsack", "loss", "syn"];

fn seq(r: &SpuriousRecord, seq: u32) -> Value<'_> {
    if r.has_seq == 0 { Null } else { U64(seq.into()) }
}

#[rustfmt::skip]
static FIELDS: &[Field<SpuriousRecord>] = &[
    std("evidence", (Text, None), "tp->dsack_dups, tp->undo_marker", "`dsack`: the peer reports data that it received twice. `undo`: the kernel reverts its window reduction for a loss.", |r| name(EVIDENCE, r.evidence)),
    std("undo", (Text, None), "tcp_undo_cwnd_reduction()", "Type of undo, by the counter that it increments: full (TCPFullUndo), partial (TCPPartialUndo), dsack (TCPDSACKUndo), loss (TCPLossUndo: by timestamps or F-RTO), or syn (the SYN was not lost; no counter). Null for `dsack`.", |r| if r.undo == 0 { Null } else { name(UNDOS, r.undo) }),
    std("seq", (Unsigned, Sequence), "SACK option; tp->undo_marker", "First sequence number of the unnecessary retransmissions: `retransmit` events of this connection from `seq` up to `end_seq`. `dsack`: data received twice. Null if the packet with the DSACK was not observed. `undo`: data that was unacknowledged when the loss was assumed.", |r| seq(r, r.seq)),
    std("end_seq", (Unsigned, Sequence), "SACK option; tp->high_seq", "Sequence number after the last one. Null as for `seq`.", |r| seq(r, r.end_seq)),
    std("segs", (Unsigned, Segments), "tp->dsack_dups, tp->total_retrans", "`dsack`: segments received twice. `undo`: segments retransmitted since the loss was assumed. Null if the trace started later.", |r| if r.has_segs == 0 { Null } else { U64(r.segs.into()) }),
    std("old_ca_state", (Text, None), "icsk_ca_state", "Recovery state before.", |r| name(CA_STATES, r.old_ca_state)),
    std("new_ca_state", (Text, None), "icsk_ca_state", "Recovery state after.", |r| name(CA_STATES, r.new_ca_state)),
    std("old_snd_cwnd", (Unsigned, Segments), "tp->snd_cwnd", "Congestion window when the connection was last observed. `snd_cwnd` is the current one.", |r| U64(r.old_snd_cwnd.into())),
    std("old_snd_ssthresh", (Unsigned, Segments), "tp->snd_ssthresh", "Slow-start threshold at that time. Null if infinite. `snd_ssthresh` is the current one.", |r| Value::unless(r.old_snd_ssthresh.into(), INFINITE_SSTHRESH)),
    full("prior_cwnd", (Unsigned, Segments), "tp->prior_cwnd", "Congestion window before the loss.", |r| U64(r.prior_cwnd.into())),
    full("prior_ssthresh", (Unsigned, Segments), "tp->prior_ssthresh", "Slow-start threshold to restore. Null if infinite. 0 if there is none, because ECN signalled the congestion.", |r| Value::unless(r.prior_ssthresh.into(), INFINITE_SSTHRESH)),
    full("dsack_dups", (Unsigned, Count), "tp->dsack_dups", "Segments received twice, in the connection's lifetime. If there are more than `total_retrans`, the network has duplicated some, and the kernel ignores further DSACKs.", |r| U64(r.dsack_dups.into())),
    std("packet_us", (Unsigned, Microseconds), "since the last tcp_probe of this socket", "Time since the packet that brought the evidence. Null if none was observed.", |r| us(r.packet_ns)),
    std("retrans_us", (Unsigned, Microseconds), "since tcp_retransmit_skb", "Time since the first retransmission that is undone. Null for `dsack`, and if none was sent or observed.", |r| us(r.retrans_ns)),
];

const EXTRA_HOOKS: &[Hook] = &[
    Hook {
        hook: "tcp:tcp_cong_state_set",
        without: Some("episodes that end before the next packet are missed"),
    },
    Hook { hook: "tcp:tcp_retransmit_skb", without: Option::None },
    Hook { hook: "tcp:tcp_destroy_sock", without: Option::None },
];

socket_event_type!(
    SpuriousRecord,
    TCC_EVENT_SPURIOUS,
    "spurious",
    "tcp:tcp_probe" and EXTRA_HOOKS,
    "The kernel finds that retransmissions were unnecessary: the peer reports duplicates, or a window reduction is undone.",
    view![
        ("PID", "pid", 6),
        ("EVIDENCE", "evidence", 8),
        ("UNDO", "undo", 7),
        ("segs", "segs", 4),
        ("OLD", "old_ca_state", 8),
        ("NEW", "new_ca_state", 8),
        ("cwnd", "snd_cwnd", 5),
    ]
);
