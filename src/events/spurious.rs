//! `spurious`: retransmissions that the kernel finds to have been unnecessary.

use super::Hook;
use super::common::{UNKNOWN_NS, full, of, slot, std};
use super::names::{CA_STATES, INFINITE_SSTHRESH};
use super::socket::{socket_event_type, view};
use crate::skel::SpuriousRecord;
use crate::slot::Condition;
use crate::slot::Names::List;
use crate::table::Column;
use crate::table::Type::{Text, Unsigned};
use crate::table::Unit::{Count, Microseconds, None, Segments, Sequence};

/// `enum tcc_spurious_evidence`.
const EVIDENCE: &[&str] = &["dsack", "undo"];
/// `enum tcc_undo`.
const UNDOS: &[&str] = &["", "full", "partial", "dsack", "loss", "syn"];

const HAS_SEQ: &[Condition] = &[Condition::is_not(slot!(SpuriousRecord, has_seq), 0)];
const HAS_SEGS: &[Condition] = &[Condition::is_not(slot!(SpuriousRecord, has_segs), 0)];

#[rustfmt::skip]
static COLUMNS: &[Column] = &[
    std("evidence", (Text, None), "tp->dsack_dups, tp->undo_marker", "`dsack`: the peer reports data that it received twice. `undo`: the kernel reverts its window reduction for a loss.", of!(SpuriousRecord, evidence).named(List(EVIDENCE))),
    std("undo", (Text, None), "tcp_undo_cwnd_reduction()", "Type of undo, by the counter that it increments: full (TCPFullUndo), partial (TCPPartialUndo), dsack (TCPDSACKUndo), loss (TCPLossUndo: by timestamps or F-RTO), or syn (the SYN was not lost; no counter). Null for `dsack`.", of!(SpuriousRecord, undo).unset(0).named(List(UNDOS))),
    std("seq", (Unsigned, Sequence), "SACK option; tp->undo_marker", "First sequence number of the unnecessary retransmissions: `retransmit` events of this connection from `seq` up to `end_seq`. `dsack`: data received twice. Null if the packet with the DSACK was not observed. `undo`: data that was unacknowledged when the loss was assumed.", of!(SpuriousRecord, seq).when(HAS_SEQ)),
    std("end_seq", (Unsigned, Sequence), "SACK option; tp->high_seq", "Sequence number after the last one. Null as for `seq`.", of!(SpuriousRecord, end_seq).when(HAS_SEQ)),
    std("segs", (Unsigned, Segments), "tp->dsack_dups, tp->total_retrans", "`dsack`: segments received twice. `undo`: segments retransmitted since the loss was assumed. Null if the trace started later.", of!(SpuriousRecord, segs).when(HAS_SEGS)),
    std("old_ca_state", (Text, None), "icsk_ca_state", "Recovery state before.", of!(SpuriousRecord, old_ca_state).named(List(CA_STATES))),
    std("new_ca_state", (Text, None), "icsk_ca_state", "Recovery state after.", of!(SpuriousRecord, new_ca_state).named(List(CA_STATES))),
    std("old_snd_cwnd", (Unsigned, Segments), "tp->snd_cwnd", "Congestion window when the connection was last observed. `snd_cwnd` is the current one.", of!(SpuriousRecord, old_snd_cwnd)),
    std("old_snd_ssthresh", (Unsigned, Segments), "tp->snd_ssthresh", "Slow-start threshold at that time. Null if infinite. `snd_ssthresh` is the current one.", of!(SpuriousRecord, old_snd_ssthresh).unset(INFINITE_SSTHRESH)),
    full("prior_cwnd", (Unsigned, Segments), "tp->prior_cwnd", "Congestion window before the loss.", of!(SpuriousRecord, prior_cwnd)),
    full("prior_ssthresh", (Unsigned, Segments), "tp->prior_ssthresh", "Slow-start threshold to restore. Null if infinite. 0 if there is none, because ECN signalled the congestion.", of!(SpuriousRecord, prior_ssthresh).unset(INFINITE_SSTHRESH)),
    full("dsack_dups", (Unsigned, Count), "tp->dsack_dups", "Segments received twice, in the connection's lifetime. If there are more than `total_retrans`, the network has duplicated some, and the kernel ignores further DSACKs.", of!(SpuriousRecord, dsack_dups)),
    std("packet_us", (Unsigned, Microseconds), "since the last tcp_probe of this socket", "Time since the packet that brought the evidence. Null if none was observed.", of!(SpuriousRecord, packet_ns).unset(UNKNOWN_NS).divided(1000)),
    std("retrans_us", (Unsigned, Microseconds), "since tcp_retransmit_skb", "Time since the first retransmission that is undone. Null for `dsack`, and if none was sent or observed.", of!(SpuriousRecord, retrans_ns).unset(UNKNOWN_NS).divided(1000)),
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
    "tcp:tcp_probe",
    "The kernel finds that retransmissions were unnecessary: the peer reports duplicates, or a window reduction is undone.",
    view![
        ("PID", "pid", 6),
        ("EVIDENCE", "evidence", 8),
        ("UNDO", "undo", 7),
        ("segs", "segs", 4),
        ("OLD", "old_ca_state", 8),
        ("NEW", "new_ca_state", 8),
        ("cwnd", "snd_cwnd", 5),
    ],
    extra_hooks: EXTRA_HOOKS
);
