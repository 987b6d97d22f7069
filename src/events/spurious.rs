//! `spurious`: what was sent again was not needed, as the kernel found out.

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
    std("evidence", (Text, None), "tp->dsack_dups, tp->undo_marker", "`dsack`: the peer reports that it got data twice. `undo`: the kernel takes back what it did to the window for a loss.", |r| name(EVIDENCE, r.evidence)),
    std("undo", (Text, None), "tcp_undo_cwnd_reduction()", "Which undo, by the counter that grows: full (TCPFullUndo), partial (TCPPartialUndo), dsack (TCPDSACKUndo), loss (TCPLossUndo: by timestamps or by F-RTO, which are not told apart), syn (the SYN was not lost; no counter). Null for `dsack`.", |r| if r.undo == 0 { Null } else { name(UNDOS, r.undo) }),
    std("seq", (Unsigned, Sequence), "SACK option; tp->undo_marker", "Which ones: `retransmit` records of this connection from this sequence number on, and before `end_seq`. `dsack`: what the peer got twice; null where the packet that told it was not seen. `undo`: what was not acknowledged as the loss was taken for one.", |r| seq(r, r.seq)),
    std("end_seq", (Unsigned, Sequence), "SACK option; tp->high_seq", "The sequence number after the last one.", |r| seq(r, r.end_seq)),
    std("segs", (Unsigned, Segments), "tp->dsack_dups, tp->total_retrans", "`dsack`: segments that came twice. `undo`: segments that were sent again since the loss was taken for one; null where the trace began after that.", |r| if r.has_segs == 0 { Null } else { U64(r.segs.into()) }),
    std("old_ca_state", (Text, None), "icsk_ca_state", "Recovery state before.", |r| name(CA_STATES, r.old_ca_state)),
    std("new_ca_state", (Text, None), "icsk_ca_state", "Recovery state from now on.", |r| name(CA_STATES, r.new_ca_state)),
    std("old_snd_cwnd", (Unsigned, Segments), "tp->snd_cwnd", "Congestion window when the connection was last looked at before; `snd_cwnd` is what it is now.", |r| U64(r.old_snd_cwnd.into())),
    std("old_snd_ssthresh", (Unsigned, Segments), "tp->snd_ssthresh", "Slow-start threshold then; null: infinite. `snd_ssthresh` is what it is now.", |r| Value::unless(r.old_snd_ssthresh.into(), INFINITE_SSTHRESH)),
    full("prior_cwnd", (Unsigned, Segments), "tp->prior_cwnd", "Congestion window before the loss.", |r| U64(r.prior_cwnd.into())),
    full("prior_ssthresh", (Unsigned, Segments), "tp->prior_ssthresh", "Slow-start threshold to restore; null: infinite, 0: none, as congestion was told by ECN.", |r| Value::unless(r.prior_ssthresh.into(), INFINITE_SSTHRESH)),
    full("dsack_dups", (Unsigned, Count), "tp->dsack_dups", "Segments that came twice, in the connection's life. Where these are more than `total_retrans` the network has doubled some, and the kernel ignores them.", |r| U64(r.dsack_dups.into())),
    std("packet_us", (Unsigned, Microseconds), "since the last tcp_probe of this socket", "How long before this record the packet came that told it; null where none was seen.", |r| us(r.packet_ns)),
    std("retrans_us", (Unsigned, Microseconds), "since tcp_retransmit_skb", "`undo`: how long before this record the first of its segments was sent again; null where none was, or that was not seen.", |r| us(r.retrans_ns)),
];

const MORE: &[Hook] = &[
    Hook {
        hook: "tcp:tcp_cong_state_set",
        program: "spurious_state",
        without: Some("what is over before the next packet is not seen"),
    },
    Hook { hook: "tcp:tcp_retransmit_skb", program: "spurious_retransmit", without: Option::None },
    Hook { hook: "tcp:tcp_destroy_sock", program: "spurious_destroy", without: Option::None },
];

socket_event_type!(
    SpuriousRecord,
    TCC_EVENT_SPURIOUS,
    "spurious",
    "tcp:tcp_probe" and MORE,
    "What was sent again was not needed: the peer had it already, or the kernel takes back what it did for a loss.",
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
