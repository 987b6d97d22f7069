//! The columns of `probe` beyond the common ones: what each means, where the kernel has it, how it is got.

use super::ca;
use super::common::{Field, full, std};
use super::names::{CA_STATES, INFINITE_SSTHRESH, TCP_STATES, name};
use super::owner::owner_fields;
use super::tcp_probe::Probe;
use crate::skel::Sock;
use crate::table::Type::{Bool as Flag, Signed, Text, Unsigned};
use crate::table::Unit::{self, *};
use crate::table::Value::{self, Bool, I64, Name, Null, Str, U64};
use crate::table::{Column, Member};

/// How event.h says that window scaling was not negotiated.
const NO_WSCALE: u64 = 255;
/// `TCP_ECN_OK`, since 6.18 `TCP_ECN_MODE_RFC3168`.
const ECN_OK: u8 = 1;
/// `TCP_ECN_SEEN`.
const ECN_SEEN: u8 = 8;
/// `TCP_ECN_MODE_ACCECN`, 6.18.
const ECN_ACCECN: u8 = 16;

fn unless(value: u64, unset: u64) -> Value<'static> {
    Value::unless(value, unset)
}

/// `ICSK_TIME_*`: the timers that `icsk_pending` names.
fn timer(p: &Probe) -> Value<'static> {
    match p.sock.pending {
        1 => Str("retrans"),
        3 => Str("probe0"),
        5 => Str("loss_probe"),
        6 => Str("reo_timeout"),
        _ => Null,
    }
}

fn ecn(flags: u8) -> &'static str {
    if flags & ECN_ACCECN != 0 {
        "accecn"
    } else if flags & ECN_OK != 0 {
        "ecn"
    } else {
        "off"
    }
}

fn in_flight(sock: &Sock) -> u32 {
    sock.packets_out
        .wrapping_sub(sock.sacked_out.wrapping_add(sock.lost_out))
        .wrapping_add(sock.retrans_out)
}

/// `max(write_seq - snd_nxt, 0)`, in sequence space.
fn notsent(p: &Probe) -> u32 {
    let bytes = p.sock.write_seq.wrapping_sub(p.std.snd_nxt);
    if bytes.cast_signed() < 0 { 0 } else { bytes }
}

fn delivery_rate(sock: &Sock) -> Value<'static> {
    if sock.rate_delivered == 0 || sock.rate_interval_us == 0 {
        return Null;
    }
    let bytes = u64::from(sock.rate_delivered) * u64::from(sock.mss);
    U64((u128::from(bytes) * 1_000_000 / u128::from(sock.rate_interval_us)) as u64)
}

/// A column that reads a member of `tcp_sock` which older kernels lack.
const fn since(member: &'static str, field: Field<Probe>) -> Field<Probe> {
    let need = Some(Member { type_name: "tcp_sock", member });
    Field { column: Column { need, ..field.column }, get: field.get }
}

/// What every reader gives, in output order.
#[rustfmt::skip]
pub static STANDARD: &[Field<Probe>] = &[
    std("mark", (Unsigned, Unit::None), "skb->mark", "The packet's firewall mark (the socket's own is sk_mark).", |p| U64(p.std.mark.into())),
    std("data_len", (Unsigned, Bytes), "skb->len less the TCP header", "Payload of the packet; of a coalesced one (GRO, loopback) all of it. The record reader gives 16 bits of it, which wrap above 64 KiB.", |p| U64(p.std.data_len.into())),
    std("snd_nxt", (Unsigned, Sequence), "tp->snd_nxt", "Next sequence number to send.", |p| U64(p.std.snd_nxt.into())),
    std("snd_una", (Unsigned, Sequence), "tp->snd_una", "First byte that is not acknowledged.", |p| U64(p.std.snd_una.into())),
    std("snd_cwnd", (Unsigned, Segments), "tp->snd_cwnd", "Congestion window.", |p| U64(p.std.snd_cwnd.into())),
    std("ssthresh", (Unsigned, Segments), "tcp_current_ssthresh(sk)", "Slow-start threshold as the kernel would use it now: outside CWR and Recovery at least 3/4 of cwnd. Null: infinite. The stored one is snd_ssthresh.", |p| unless(p.std.ssthresh.into(), INFINITE_SSTHRESH)),
    std("snd_wnd", (Unsigned, Bytes), "tp->snd_wnd", "The peer's receive window as last accepted.", |p| U64(p.std.snd_wnd.into())),
    std("srtt_us", (Unsigned, Microseconds), "tp->srtt_us >> 3", "Smoothed round-trip time; null before the first sample.", |p| unless(p.std.srtt_us.into(), 0)),
    std("rcv_wnd", (Unsigned, Bytes), "tp->rcv_wnd", "Receive window last advertised; it does not shrink as data arrives.", |p| U64(p.std.rcv_wnd.into())),
    std("bytes_in_flight", (Unsigned, Bytes), "tp->snd_nxt - tp->snd_una", "Bytes sent and not acknowledged.", |p| U64(p.std.snd_nxt.wrapping_sub(p.std.snd_una).into())),
];

/// Who holds the socket; with the fields below.
pub static OWNER: &[Field<Probe>] = &owner_fields!(full, full);

/// What only a reader of the socket gives, in output order after the owner.
#[rustfmt::skip]
pub static FULL: &[Field<Probe>] = &[
    full("ifindex", (Unsigned, Unit::None), "skb->skb_iif", "The interface that the packet came in by.", |p| unless(p.owner.ifindex.into(), 0)),
    full("state", (Text, Unit::None), "sk->sk_state", "TCP state by name; always ESTABLISHED in a probe.", |p| name(TCP_STATES, p.sock.state)),
    full("ca_name", (Text, Unit::None), "icsk_ca_ops->name", "Congestion-control algorithm.", |p| Name(ca::name(&p.sock))),
    full("ca_state", (Text, Unit::None), "icsk_ca_state", "Open, Disorder, CWR, Recovery or Loss.", |p| name(CA_STATES, p.sock.ca_state)),
    full("snd_ssthresh", (Unsigned, Segments), "tp->snd_ssthresh", "Slow-start threshold as stored; null: infinite.", |p| unless(p.sock.snd_ssthresh.into(), INFINITE_SSTHRESH)),
    full("rttvar_us", (Unsigned, Microseconds), "tp->rttvar_us >> 2", "Smoothed maximum of mdev_us over a round trip, which RTO is computed from.", |p| U64(p.sock.rttvar_us.into())),
    full("mdev_us", (Unsigned, Microseconds), "tp->mdev_us >> 2", "Mean deviation of the RTT; what TCP_INFO and ss call rttvar.", |p| U64(p.sock.mdev_us.into())),
    full("min_rtt_us", (Unsigned, Microseconds), "tcp_min_rtt(tp)", "Smallest RTT in the window of tcp_min_rtt_wlen; null before the first sample.", |p| unless(p.sock.min_rtt_us.into(), u64::from(u32::MAX))),
    full("rto_us", (Unsigned, Microseconds), "icsk_rto", "Retransmission timeout.", |p| U64(p.sock.rto_us.into())),
    full("ato_us", (Unsigned, Microseconds), "icsk_ack.ato", "Delayed-ACK timeout.", |p| U64(p.sock.ato_us.into())),
    full("backoff", (Unsigned, Count), "icsk_backoff", "Doublings of the timeout.", |p| U64(p.sock.backoff.into())),
    full("retransmits", (Unsigned, Count), "icsk_retransmits", "Timeouts in a row without an ACK.", |p| U64(p.sock.retransmits.into())),
    full("probes_out", (Unsigned, Count), "icsk_probes_out", "Zero-window probes without an answer.", |p| U64(p.sock.probes_out.into())),
    full("timer", (Text, Unit::None), "icsk_pending", "The pending timer: retrans, probe0 (zero window), loss_probe (TLP), reo_timeout (RACK); null: none.", timer),
    full("timer_us", (Unsigned, Microseconds), "icsk_retransmit_timer", "Until that timer fires, rounded to timer ticks.", |p| if p.sock.pending == 0 { Null } else { U64(p.sock.timer_us.into()) }),
    full("mss", (Unsigned, Bytes), "tp->mss_cache", "Segment size in use.", |p| U64(p.sock.mss.into())),
    full("advmss", (Unsigned, Bytes), "tp->advmss", "Segment size that we announced.", |p| U64(p.sock.advmss.into())),
    full("rcv_mss", (Unsigned, Bytes), "icsk_ack.rcv_mss", "Estimate of the peer's segment size.", |p| U64(p.sock.rcv_mss.into())),
    full("pmtu", (Unsigned, Bytes), "icsk_pmtu_cookie", "Path MTU.", |p| U64(p.sock.pmtu.into())),
    full("packets_out", (Unsigned, Segments), "tp->packets_out", "Sent and not cumulatively acknowledged (ss: unacked).", |p| U64(p.sock.packets_out.into())),
    full("retrans_out", (Unsigned, Segments), "tp->retrans_out", "Retransmitted and not acknowledged.", |p| U64(p.sock.retrans_out.into())),
    full("sacked_out", (Unsigned, Segments), "tp->sacked_out", "SACKed (without SACK: duplicate ACKs).", |p| U64(p.sock.sacked_out.into())),
    full("lost_out", (Unsigned, Segments), "tp->lost_out", "Held for lost now.", |p| U64(p.sock.lost_out.into())),
    full("packets_in_flight", (Unsigned, Segments), "tcp_packets_in_flight(tp)", "packets_out - sacked_out - lost_out + retrans_out.", |p| U64(in_flight(&p.sock).into())),
    full("total_retrans", (Unsigned, Segments), "tp->total_retrans", "Retransmissions of the connection.", |p| U64(p.sock.total_retrans.into())),
    full("lost", (Unsigned, Segments), "tp->lost", "Ever held for lost, spurious ones too.", |p| U64(p.sock.lost.into())),
    full("delivered", (Unsigned, Segments), "tp->delivered", "Delivered to the peer, retransmissions too.", |p| U64(p.sock.delivered.into())),
    full("delivered_ce", (Unsigned, Segments), "tp->delivered_ce", "Of those, with an ECE mark.", |p| U64(p.sock.delivered_ce.into())),
    full("delivery_rate", (Unsigned, BytesPerSecond), "tcp_compute_delivery_rate(tp)", "Most recent delivery rate; null before the first sample.", |p| delivery_rate(&p.sock)),
    full("app_limited", (Flag, Unit::None), "tp->rate_app_limited", "That rate was limited by the application.", |p| Bool(p.sock.rate_app_limited != 0)),
    full("is_cwnd_limited", (Flag, Unit::None), "tp->is_cwnd_limited", "cwnd was the limit in the last window.", |p| Bool(p.sock.is_cwnd_limited != 0)),
    full("pacing_rate", (Unsigned, BytesPerSecond), "sk->sk_pacing_rate", "Pacing rate; null: not set.", |p| unless(p.sock.pacing_rate, u64::MAX)),
    full("max_pacing_rate", (Unsigned, BytesPerSecond), "sk->sk_max_pacing_rate", "SO_MAX_PACING_RATE; null: none.", |p| unless(p.sock.max_pacing_rate, u64::MAX)),
    full("reordering", (Unsigned, Segments), "tp->reordering", "Reordering that is tolerated.", |p| U64(p.sock.reordering.into())),
    since("reord_seen", full("reord_seen", (Unsigned, Count), "tp->reord_seen", "Reordering events.", |p| U64(p.sock.reord_seen.into()))),
    since("dsack_dups", full("dsack_dups", (Unsigned, Count), "tp->dsack_dups", "Duplicates that the peer reported by DSACK.", |p| U64(p.sock.dsack_dups.into()))),
    since("bytes_sent", full("bytes_sent", (Unsigned, Bytes), "tp->bytes_sent", "Payload sent, retransmissions too.", |p| U64(p.sock.bytes_sent))),
    full("bytes_acked", (Unsigned, Bytes), "tp->bytes_acked", "Payload acknowledged.", |p| U64(p.sock.bytes_acked)),
    full("bytes_received", (Unsigned, Bytes), "tp->bytes_received", "Payload received.", |p| U64(p.sock.bytes_received)),
    since("bytes_retrans", full("bytes_retrans", (Unsigned, Bytes), "tp->bytes_retrans", "Payload retransmitted.", |p| U64(p.sock.bytes_retrans))),
    full("segs_in", (Unsigned, Segments), "tp->segs_in", "Segments received.", |p| U64(p.sock.segs_in.into())),
    full("segs_out", (Unsigned, Segments), "tp->segs_out", "Segments sent.", |p| U64(p.sock.segs_out.into())),
    full("data_segs_in", (Unsigned, Segments), "tp->data_segs_in", "Segments with payload received.", |p| U64(p.sock.data_segs_in.into())),
    full("data_segs_out", (Unsigned, Segments), "tp->data_segs_out", "Segments with payload sent.", |p| U64(p.sock.data_segs_out.into())),
    full("notsent_bytes", (Unsigned, Bytes), "tp->write_seq - tp->snd_nxt", "Written by the application and never sent.", |p| U64(notsent(p).into())),
    full("write_seq", (Unsigned, Sequence), "tp->write_seq", "End of what the application wrote.", |p| U64(p.sock.write_seq.into())),
    full("rcv_nxt", (Unsigned, Sequence), "tp->rcv_nxt", "Next sequence number expected.", |p| U64(p.sock.rcv_nxt.into())),
    full("rcv_ssthresh", (Unsigned, Bytes), "tp->rcv_ssthresh", "Current limit of the window that we offer.", |p| U64(p.sock.rcv_ssthresh.into())),
    full("window_clamp", (Unsigned, Bytes), "tp->window_clamp", "Largest window to offer.", |p| U64(p.sock.window_clamp.into())),
    full("max_window", (Unsigned, Bytes), "tp->max_window", "Largest window ever seen from the peer.", |p| U64(p.sock.max_window.into())),
    full("rcv_rtt_us", (Unsigned, Microseconds), "tp->rcv_rtt_est.rtt_us >> 3", "The receiver's estimate of the RTT; null: none.", |p| unless(p.sock.rcv_rtt_us.into(), 0)),
    full("rcv_space", (Unsigned, Bytes), "tp->rcvq_space.space", "Bytes that the application took in the last round trip.", |p| U64(p.sock.rcv_space.into())),
    since("rcv_ooopack", full("rcv_ooopack", (Unsigned, Count), "tp->rcv_ooopack", "Packets received out of order.", |p| U64(p.sock.rcv_ooopack.into()))),
    full("last_data_sent_us", (Unsigned, Microseconds), "tp->lsndtime", "Since data was last sent, in whole timer ticks.", |p| U64(p.sock.last_data_sent_us)),
    full("last_data_recv_us", (Unsigned, Microseconds), "icsk_ack.lrcvtime", "Since data was last received, in whole timer ticks.", |p| U64(p.sock.last_data_recv_us)),
    full("last_ack_recv_us", (Unsigned, Microseconds), "tp->rcv_tstamp", "Since an ACK was last received, in whole timer ticks.", |p| U64(p.sock.last_ack_recv_us)),
    full("busy_us", (Unsigned, Microseconds), "tp->chrono_stat", "Time with data to send, the two below included.", |p| U64(p.sock.busy_us)),
    full("rwnd_limited_us", (Unsigned, Microseconds), "tp->chrono_stat", "Of it, limited by the peer's window.", |p| U64(p.sock.rwnd_limited_us)),
    full("sndbuf_limited_us", (Unsigned, Microseconds), "tp->chrono_stat", "Of it, limited by the send buffer.", |p| U64(p.sock.sndbuf_limited_us)),
    full("wmem_queued", (Signed, Bytes), "sk->sk_wmem_queued", "Memory of the send queue (ss skmem: w).", |p| I64(p.sock.wmem_queued.into())),
    full("wmem_alloc", (Signed, Bytes), "sk->sk_wmem_alloc", "Of it, handed to the layers below, plus one (ss skmem: t).", |p| I64(p.sock.wmem_alloc.into())),
    full("sndbuf", (Signed, Bytes), "sk->sk_sndbuf", "Limit of the send buffer (ss skmem: tb).", |p| I64(p.sock.sndbuf.into())),
    full("rmem_alloc", (Signed, Bytes), "sk->sk_rmem_alloc", "Memory of the receive queue (ss skmem: r).", |p| I64(p.sock.rmem_alloc.into())),
    full("rcvbuf", (Signed, Bytes), "sk->sk_rcvbuf", "Limit of the receive buffer (ss skmem: rb).", |p| I64(p.sock.rcvbuf.into())),
    full("forward_alloc", (Signed, Bytes), "sk->sk_forward_alloc", "Memory charged ahead (ss skmem: f).", |p| I64(p.sock.forward_alloc.into())),
    full("omem_alloc", (Signed, Bytes), "sk->sk_omem_alloc", "Option memory (ss skmem: o).", |p| I64(p.sock.omem_alloc.into())),
    full("backlog_len", (Signed, Bytes), "sk->sk_backlog.len", "Memory of the backlog (ss skmem: bl).", |p| I64(p.sock.backlog_len.into())),
    full("drops", (Unsigned, Count), "sk->sk_drops", "Packets dropped at the socket (ss skmem: d).", |p| U64(p.sock.drops.into())),
    full("ecn", (Text, Unit::None), "tp->ecn_flags", "ECN as negotiated: off, ecn, or accecn (6.18).", |p| Str(ecn(p.sock.ecn_flags))),
    full("ecn_seen", (Flag, Unit::None), "tp->ecn_flags", "A packet with an ECN mark has come in.", |p| Bool(p.sock.ecn_flags & ECN_SEEN != 0)),
    full("tstamp_ok", (Flag, Unit::None), "tp->rx_opt.tstamp_ok", "Timestamps were negotiated.", |p| Bool(p.sock.tstamp_ok != 0)),
    full("sack_ok", (Flag, Unit::None), "tp->rx_opt.sack_ok", "SACK was negotiated.", |p| Bool(p.sock.sack_ok != 0)),
    full("snd_wscale", (Unsigned, Unit::None), "tp->rx_opt.snd_wscale", "The peer's window scale; null: not negotiated.", |p| unless(p.sock.snd_wscale.into(), NO_WSCALE)),
    full("rcv_wscale", (Unsigned, Unit::None), "tp->rx_opt.rcv_wscale", "Our window scale; null: not negotiated.", |p| unless(p.sock.rcv_wscale.into(), NO_WSCALE)),
    full("prior_cwnd", (Unsigned, Segments), "tp->prior_cwnd", "cwnd before the current or last reduction.", |p| U64(p.sock.prior_cwnd.into())),
    full("prior_ssthresh", (Unsigned, Segments), "tp->prior_ssthresh", "ssthresh before it, restored by an undo; null: infinite.", |p| unless(p.sock.prior_ssthresh.into(), INFINITE_SSTHRESH)),
    full("snd_cwnd_cnt", (Unsigned, Segments), "tp->snd_cwnd_cnt", "ACKed towards the next increase of cwnd.", |p| U64(p.sock.snd_cwnd_cnt.into())),
    full("snd_cwnd_clamp", (Unsigned, Segments), "tp->snd_cwnd_clamp", "Upper limit of cwnd; null: none.", |p| unless(p.sock.snd_cwnd_clamp.into(), u64::from(u32::MAX))),
    full("prr_delivered", (Unsigned, Segments), "tp->prr_delivered", "Proportional rate reduction: delivered in recovery.", |p| U64(p.sock.prr_delivered.into())),
    full("prr_out", (Unsigned, Segments), "tp->prr_out", "Proportional rate reduction: sent in recovery.", |p| U64(p.sock.prr_out.into())),
    full("high_seq", (Unsigned, Sequence), "tp->high_seq", "snd_nxt at the onset of congestion.", |p| U64(p.sock.high_seq.into())),
    full("undo_marker", (Unsigned, Sequence), "tp->undo_marker", "Start of the retransmissions that an undo would take back; null: none.", |p| unless(p.sock.undo_marker.into(), 0)),
    full("undo_retrans", (Signed, Segments), "tp->undo_retrans", "Retransmissions that would have to prove spurious for an undo.", |p| I64(p.sock.undo_retrans.into())),
    full("tlp_high_seq", (Unsigned, Sequence), "tp->tlp_high_seq", "snd_nxt at the last tail loss probe; null: none.", |p| unless(p.sock.tlp_high_seq.into(), 0)),
    since("timeout_rehash", full("timeout_rehash", (Unsigned, Count), "tp->timeout_rehash", "ConnSnapshot-hash changes on timeout.", |p| U64(p.sock.timeout_rehash.into()))),
    since("is_mptcp", full("mptcp_token", (Unsigned, Unit::None), "mptcp_subflow_ctx(sk)->token", "Of a subflow: the token of its MPTCP connection, as `ss -M` prints it (in hexadecimal); null: it is not a subflow, or a listener.", |p| unless(p.sock.mptcp_token.into(), 0))),
    full("sk_mark", (Unsigned, Unit::None), "sk->sk_mark", "SO_MARK of the socket.", |p| U64(p.sock.sk_mark.into())),
    full("sk_priority", (Unsigned, Unit::None), "sk->sk_priority", "SO_PRIORITY of the socket.", |p| U64(p.sock.sk_priority.into())),
    full("tos", (Unsigned, Unit::None), "inet->tos", "IP_TOS of the socket.", |p| U64(p.sock.tos.into())),
];
