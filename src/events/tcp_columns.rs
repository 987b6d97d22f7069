//! The columns of `probe` beyond the common ones and the algorithms' state.

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

/// Window scaling was not negotiated (event.h).
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

/// A column that reads a member of `tcp_sock` which older kernels do not have.
const fn since(member: &'static str, field: Field<Probe>) -> Field<Probe> {
    let need = Some(Member { type_name: "tcp_sock", member });
    Field { column: Column { need, ..field.column }, get: field.get }
}

/// Columns that every reader provides, in output order.
#[rustfmt::skip]
pub static STANDARD: &[Field<Probe>] = &[
    std("mark", (Unsigned, Unit::None), "skb->mark", "Firewall mark of the packet. The socket's own is `sk_mark`.", |p| U64(p.std.mark.into())),
    std("data_len", (Unsigned, Bytes), "skb->len less the TCP header", "Payload length of the packet, of all its segments if coalesced (GRO, loopback). With `--reader record` it has 16 bits, which wrap at 64 KiB.", |p| U64(p.std.data_len.into())),
    std("snd_nxt", (Unsigned, Sequence), "tp->snd_nxt", "Next sequence number to send.", |p| U64(p.std.snd_nxt.into())),
    std("snd_una", (Unsigned, Sequence), "tp->snd_una", "First unacknowledged sequence number.", |p| U64(p.std.snd_una.into())),
    std("snd_cwnd", (Unsigned, Segments), "tp->snd_cwnd", "Congestion window.", |p| U64(p.std.snd_cwnd.into())),
    std("ssthresh", (Unsigned, Segments), "tcp_current_ssthresh(sk)", "Slow-start threshold in effect: outside CWR and Recovery, at least 3/4 of cwnd. Null if infinite. The stored one is `snd_ssthresh`.", |p| unless(p.std.ssthresh.into(), INFINITE_SSTHRESH)),
    std("snd_wnd", (Unsigned, Bytes), "tp->snd_wnd", "Receive window last accepted from the peer.", |p| U64(p.std.snd_wnd.into())),
    std("srtt_us", (Unsigned, Microseconds), "tp->srtt_us >> 3", "Smoothed RTT. Null before the first sample.", |p| unless(p.std.srtt_us.into(), 0)),
    std("rcv_wnd", (Unsigned, Bytes), "tp->rcv_wnd", "Receive window last advertised. It does not shrink as data arrives.", |p| U64(p.std.rcv_wnd.into())),
    std("bytes_in_flight", (Unsigned, Bytes), "tp->snd_nxt - tp->snd_una", "Bytes sent and not acknowledged.", |p| U64(p.std.snd_nxt.wrapping_sub(p.std.snd_una).into())),
];

/// Owner columns, with `--all-fields` only.
pub static OWNER: &[Field<Probe>] = &owner_fields!(full, full);

/// Columns that only a reader of the socket provides, in output order after the owner.
#[rustfmt::skip]
pub static FULL: &[Field<Probe>] = &[
    full("ifindex", (Unsigned, Unit::None), "skb->skb_iif", "Index of the interface that the packet arrived on. Null if not known.", |p| unless(p.owner.ifindex.into(), 0)),
    full("state", (Text, Unit::None), "sk->sk_state", "TCP state. Always ESTABLISHED in `probe`.", |p| name(TCP_STATES, p.sock.state)),
    full("ca_name", (Text, Unit::None), "icsk_ca_ops->name", "Congestion-control algorithm.", |p| Name(ca::name(&p.sock))),
    full("ca_state", (Text, Unit::None), "icsk_ca_state", "Recovery state: Open, Disorder, CWR, Recovery or Loss.", |p| name(CA_STATES, p.sock.ca_state)),
    full("snd_ssthresh", (Unsigned, Segments), "tp->snd_ssthresh", "Stored slow-start threshold. Null if infinite.", |p| unless(p.sock.snd_ssthresh.into(), INFINITE_SSTHRESH)),
    full("rttvar_us", (Unsigned, Microseconds), "tp->rttvar_us >> 2", "Smoothed maximum of `mdev_us` over one RTT. The RTO is computed from it.", |p| U64(p.sock.rttvar_us.into())),
    full("mdev_us", (Unsigned, Microseconds), "tp->mdev_us >> 2", "Mean deviation of the RTT (`rttvar` in TCP_INFO and ss).", |p| U64(p.sock.mdev_us.into())),
    full("min_rtt_us", (Unsigned, Microseconds), "tcp_min_rtt(tp)", "Minimum RTT over the last tcp_min_rtt_wlen seconds. Null before the first sample.", |p| unless(p.sock.min_rtt_us.into(), u64::from(u32::MAX))),
    full("rto_us", (Unsigned, Microseconds), "icsk_rto", "Retransmission timeout.", |p| U64(p.sock.rto_us.into())),
    full("ato_us", (Unsigned, Microseconds), "icsk_ack.ato", "Delayed-ACK timeout.", |p| U64(p.sock.ato_us.into())),
    full("backoff", (Unsigned, Count), "icsk_backoff", "Number of times that the timeout has been doubled.", |p| U64(p.sock.backoff.into())),
    full("retransmits", (Unsigned, Count), "icsk_retransmits", "Consecutive timeouts without an ACK.", |p| U64(p.sock.retransmits.into())),
    full("probes_out", (Unsigned, Count), "icsk_probes_out", "Unanswered zero-window or keepalive probes.", |p| U64(p.sock.probes_out.into())),
    full("timer", (Text, Unit::None), "icsk_pending", "Pending timer: retrans, probe0 (zero window), loss_probe (TLP) or reo_timeout (RACK). Null if none.", timer),
    full("timer_us", (Unsigned, Microseconds), "icsk_retransmit_timer", "Time until that timer fires, rounded to jiffies. Null if none is pending.", |p| if p.sock.pending == 0 { Null } else { U64(p.sock.timer_us.into()) }),
    full("mss", (Unsigned, Bytes), "tp->mss_cache", "MSS in use for sending.", |p| U64(p.sock.mss.into())),
    full("advmss", (Unsigned, Bytes), "tp->advmss", "MSS advertised to the peer.", |p| U64(p.sock.advmss.into())),
    full("rcv_mss", (Unsigned, Bytes), "icsk_ack.rcv_mss", "Estimate of the peer's MSS.", |p| U64(p.sock.rcv_mss.into())),
    full("pmtu", (Unsigned, Bytes), "icsk_pmtu_cookie", "Path MTU.", |p| U64(p.sock.pmtu.into())),
    full("packets_out", (Unsigned, Segments), "tp->packets_out", "Segments sent and not cumulatively acknowledged (`unacked` in ss).", |p| U64(p.sock.packets_out.into())),
    full("retrans_out", (Unsigned, Segments), "tp->retrans_out", "Retransmitted segments not yet acknowledged.", |p| U64(p.sock.retrans_out.into())),
    full("sacked_out", (Unsigned, Segments), "tp->sacked_out", "SACKed segments (without SACK: duplicate ACKs).", |p| U64(p.sock.sacked_out.into())),
    full("lost_out", (Unsigned, Segments), "tp->lost_out", "Segments currently marked lost.", |p| U64(p.sock.lost_out.into())),
    full("packets_in_flight", (Unsigned, Segments), "tcp_packets_in_flight(tp)", "Segments in flight: packets_out - sacked_out - lost_out + retrans_out.", |p| U64(in_flight(&p.sock).into())),
    full("total_retrans", (Unsigned, Segments), "tp->total_retrans", "Segments retransmitted in the connection's lifetime.", |p| U64(p.sock.total_retrans.into())),
    full("lost", (Unsigned, Segments), "tp->lost", "Segments ever marked lost, rightly or not.", |p| U64(p.sock.lost.into())),
    full("delivered", (Unsigned, Segments), "tp->delivered", "Segments delivered to the peer, retransmissions included.", |p| U64(p.sock.delivered.into())),
    full("delivered_ce", (Unsigned, Segments), "tp->delivered_ce", "Of `delivered`, segments that the peer acknowledged with an ECN mark.", |p| U64(p.sock.delivered_ce.into())),
    full("delivery_rate", (Unsigned, BytesPerSecond), "tcp_compute_delivery_rate(tp)", "Most recent delivery rate. Null before the first sample.", |p| delivery_rate(&p.sock)),
    full("app_limited", (Flag, Unit::None), "tp->rate_app_limited", "True if the application limited that rate.", |p| Bool(p.sock.rate_app_limited != 0)),
    full("is_cwnd_limited", (Flag, Unit::None), "tp->is_cwnd_limited", "True if cwnd limited sending in the last window.", |p| Bool(p.sock.is_cwnd_limited != 0)),
    full("pacing_rate", (Unsigned, BytesPerSecond), "sk->sk_pacing_rate", "Pacing rate. Null if not set.", |p| unless(p.sock.pacing_rate, u64::MAX)),
    full("max_pacing_rate", (Unsigned, BytesPerSecond), "sk->sk_max_pacing_rate", "SO_MAX_PACING_RATE. Null if not set.", |p| unless(p.sock.max_pacing_rate, u64::MAX)),
    full("reordering", (Unsigned, Segments), "tp->reordering", "Packet reordering metric: tolerated distance.", |p| U64(p.sock.reordering.into())),
    since("reord_seen", full("reord_seen", (Unsigned, Count), "tp->reord_seen", "Reordering events.", |p| U64(p.sock.reord_seen.into()))),
    since("dsack_dups", full("dsack_dups", (Unsigned, Count), "tp->dsack_dups", "Duplicate segments that the peer reported by DSACK.", |p| U64(p.sock.dsack_dups.into()))),
    since("bytes_sent", full("bytes_sent", (Unsigned, Bytes), "tp->bytes_sent", "Payload bytes sent, retransmissions included.", |p| U64(p.sock.bytes_sent))),
    full("bytes_acked", (Unsigned, Bytes), "tp->bytes_acked", "Bytes acknowledged by the peer. SYN and FIN count as one each.", |p| U64(p.sock.bytes_acked)),
    full("bytes_received", (Unsigned, Bytes), "tp->bytes_received", "Bytes received in order. A FIN counts as one.", |p| U64(p.sock.bytes_received)),
    since("bytes_retrans", full("bytes_retrans", (Unsigned, Bytes), "tp->bytes_retrans", "Payload bytes retransmitted.", |p| U64(p.sock.bytes_retrans))),
    full("segs_in", (Unsigned, Segments), "tp->segs_in", "Segments received.", |p| U64(p.sock.segs_in.into())),
    full("segs_out", (Unsigned, Segments), "tp->segs_out", "Segments sent.", |p| U64(p.sock.segs_out.into())),
    full("data_segs_in", (Unsigned, Segments), "tp->data_segs_in", "Segments with payload received.", |p| U64(p.sock.data_segs_in.into())),
    full("data_segs_out", (Unsigned, Segments), "tp->data_segs_out", "Segments with payload sent.", |p| U64(p.sock.data_segs_out.into())),
    full("notsent_bytes", (Unsigned, Bytes), "tp->write_seq - tp->snd_nxt", "Bytes that the application has written and TCP has not sent yet.", |p| U64(notsent(p).into())),
    full("write_seq", (Unsigned, Sequence), "tp->write_seq", "Sequence number after the last byte that the application has written.", |p| U64(p.sock.write_seq.into())),
    full("rcv_nxt", (Unsigned, Sequence), "tp->rcv_nxt", "Next sequence number expected from the peer.", |p| U64(p.sock.rcv_nxt.into())),
    full("rcv_ssthresh", (Unsigned, Bytes), "tp->rcv_ssthresh", "Current limit of the advertised window.", |p| U64(p.sock.rcv_ssthresh.into())),
    full("window_clamp", (Unsigned, Bytes), "tp->window_clamp", "Largest window that may be advertised.", |p| U64(p.sock.window_clamp.into())),
    full("max_window", (Unsigned, Bytes), "tp->max_window", "Largest window ever advertised by the peer.", |p| U64(p.sock.max_window.into())),
    full("rcv_rtt_us", (Unsigned, Microseconds), "tp->rcv_rtt_est.rtt_us >> 3", "Receiver's RTT estimate. Null before the first.", |p| unless(p.sock.rcv_rtt_us.into(), 0)),
    full("rcv_space", (Unsigned, Bytes), "tp->rcvq_space.space", "Most bytes that the application has read in one RTT so far.", |p| U64(p.sock.rcv_space.into())),
    since("rcv_ooopack", full("rcv_ooopack", (Unsigned, Count), "tp->rcv_ooopack", "Packets received out of order.", |p| U64(p.sock.rcv_ooopack.into()))),
    full("last_data_sent_us", (Unsigned, Microseconds), "tp->lsndtime", "Time since data was last sent, in whole jiffies.", |p| U64(p.sock.last_data_sent_us)),
    full("last_data_recv_us", (Unsigned, Microseconds), "icsk_ack.lrcvtime", "Time since data was last received, in whole jiffies.", |p| U64(p.sock.last_data_recv_us)),
    full("last_ack_recv_us", (Unsigned, Microseconds), "tp->rcv_tstamp", "Time since an ACK was last received, in whole jiffies.", |p| U64(p.sock.last_ack_recv_us)),
    full("busy_us", (Unsigned, Microseconds), "tp->chrono_stat", "Time with data to send, including `rwnd_limited_us` and `sndbuf_limited_us`.", |p| U64(p.sock.busy_us)),
    full("rwnd_limited_us", (Unsigned, Microseconds), "tp->chrono_stat", "Time limited by the peer's receive window.", |p| U64(p.sock.rwnd_limited_us)),
    full("sndbuf_limited_us", (Unsigned, Microseconds), "tp->chrono_stat", "Time limited by the send buffer.", |p| U64(p.sock.sndbuf_limited_us)),
    full("wmem_queued", (Signed, Bytes), "sk->sk_wmem_queued", "Memory of the send queue (skmem `w` in ss).", |p| I64(p.sock.wmem_queued.into())),
    full("wmem_alloc", (Signed, Bytes), "sk->sk_wmem_alloc", "Memory of packets handed to the layers below, plus one byte (skmem `t` in ss, which leaves that out).", |p| I64(p.sock.wmem_alloc.into())),
    full("sndbuf", (Signed, Bytes), "sk->sk_sndbuf", "Send buffer limit (skmem `tb` in ss).", |p| I64(p.sock.sndbuf.into())),
    full("rmem_alloc", (Signed, Bytes), "sk->sk_rmem_alloc", "Memory of the receive queue (skmem `r` in ss).", |p| I64(p.sock.rmem_alloc.into())),
    full("rcvbuf", (Signed, Bytes), "sk->sk_rcvbuf", "Receive buffer limit (skmem `rb` in ss).", |p| I64(p.sock.rcvbuf.into())),
    full("forward_alloc", (Signed, Bytes), "sk->sk_forward_alloc", "Memory charged in advance (skmem `f` in ss).", |p| I64(p.sock.forward_alloc.into())),
    full("omem_alloc", (Signed, Bytes), "sk->sk_omem_alloc", "Option memory (skmem `o` in ss).", |p| I64(p.sock.omem_alloc.into())),
    full("backlog_len", (Signed, Bytes), "sk->sk_backlog.len", "Memory of the socket backlog (skmem `bl` in ss).", |p| I64(p.sock.backlog_len.into())),
    full("drops", (Unsigned, Count), "sk->sk_drops", "Packets dropped at the socket (skmem `d` in ss).", |p| U64(p.sock.drops.into())),
    full("ecn", (Text, Unit::None), "tp->ecn_flags", "Negotiated ECN: off, ecn, or accecn (since Linux 6.18).", |p| Str(ecn(p.sock.ecn_flags))),
    full("ecn_seen", (Flag, Unit::None), "tp->ecn_flags", "True if a packet with an ECN mark has been received.", |p| Bool(p.sock.ecn_flags & ECN_SEEN != 0)),
    full("tstamp_ok", (Flag, Unit::None), "tp->rx_opt.tstamp_ok", "True if timestamps were negotiated.", |p| Bool(p.sock.tstamp_ok != 0)),
    full("sack_ok", (Flag, Unit::None), "tp->rx_opt.sack_ok", "True if SACK was negotiated.", |p| Bool(p.sock.sack_ok != 0)),
    full("snd_wscale", (Unsigned, Unit::None), "tp->rx_opt.snd_wscale", "Window scale of the peer. Null if not negotiated.", |p| unless(p.sock.snd_wscale.into(), NO_WSCALE)),
    full("rcv_wscale", (Unsigned, Unit::None), "tp->rx_opt.rcv_wscale", "Local window scale. Null if not negotiated.", |p| unless(p.sock.rcv_wscale.into(), NO_WSCALE)),
    full("prior_cwnd", (Unsigned, Segments), "tp->prior_cwnd", "Congestion window before the current or last reduction.", |p| U64(p.sock.prior_cwnd.into())),
    full("prior_ssthresh", (Unsigned, Segments), "tp->prior_ssthresh", "Slow-start threshold that an undo restores. Null if infinite.", |p| unless(p.sock.prior_ssthresh.into(), INFINITE_SSTHRESH)),
    full("snd_cwnd_cnt", (Unsigned, Segments), "tp->snd_cwnd_cnt", "Segments acknowledged towards the next increase of cwnd.", |p| U64(p.sock.snd_cwnd_cnt.into())),
    full("snd_cwnd_clamp", (Unsigned, Segments), "tp->snd_cwnd_clamp", "Upper limit of cwnd. Null if none.", |p| unless(p.sock.snd_cwnd_clamp.into(), u64::from(u32::MAX))),
    full("prr_delivered", (Unsigned, Segments), "tp->prr_delivered", "Segments delivered in this recovery (proportional rate reduction).", |p| U64(p.sock.prr_delivered.into())),
    full("prr_out", (Unsigned, Segments), "tp->prr_out", "Segments sent in this recovery (proportional rate reduction).", |p| U64(p.sock.prr_out.into())),
    full("high_seq", (Unsigned, Sequence), "tp->high_seq", "snd_nxt at the onset of congestion.", |p| U64(p.sock.high_seq.into())),
    full("undo_marker", (Unsigned, Sequence), "tp->undo_marker", "snd_una at the start of the episode that can be undone. Null if none can.", |p| unless(p.sock.undo_marker.into(), 0)),
    full("undo_retrans", (Signed, Segments), "tp->undo_retrans", "Retransmissions yet to prove spurious for an undo.", |p| I64(p.sock.undo_retrans.into())),
    full("tlp_high_seq", (Unsigned, Sequence), "tp->tlp_high_seq", "snd_nxt at the last tail loss probe. Null if none is outstanding.", |p| unless(p.sock.tlp_high_seq.into(), 0)),
    since("timeout_rehash", full("timeout_rehash", (Unsigned, Count), "tp->timeout_rehash", "Rehash attempts after timeouts.", |p| U64(p.sock.timeout_rehash.into()))),
    since("is_mptcp", full("mptcp_token", (Unsigned, Unit::None), "mptcp_subflow_ctx(sk)->token", "Token of the MPTCP connection that the subflow belongs to, which `ss -M` prints in hexadecimal. Null if the socket is not a subflow, and for listeners.", |p| unless(p.sock.mptcp_token.into(), 0))),
    full("sk_mark", (Unsigned, Unit::None), "sk->sk_mark", "Mark of the socket (SO_MARK).", |p| U64(p.sock.sk_mark.into())),
    full("sk_priority", (Unsigned, Unit::None), "sk->sk_priority", "Priority of the socket (SO_PRIORITY).", |p| U64(p.sock.sk_priority.into())),
    full("tos", (Unsigned, Unit::None), "inet->tos", "TOS of the socket (IP_TOS).", |p| U64(p.sock.tos.into())),
];
