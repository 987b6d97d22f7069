//! The columns of `probe` beyond the common ones and the algorithms' state.

use super::common::{call, full, needs, of, slot, std, text};
use super::computed::{delivery_rate, difference, in_flight};
use super::names::{CA_STATES, INFINITE_SSTHRESH, TCP_STATES};
use super::owner::owner_columns;
use crate::skel::ProbeFullRecord as Record;
use crate::slot::Condition;
use crate::slot::Names::{List, Pairs};
use crate::table::Type::{Bool as Flag, Signed, Text, Unsigned};
use crate::table::Unit::{self, *};
use crate::table::Value::{self, Str, U64};
use crate::table::origin::Inputs;
use crate::table::{Column, Member};

/// Window scaling was not negotiated (event.h).
const NO_WSCALE: u64 = 255;
/// `TCP_ECN_OK`, since 6.18 `TCP_ECN_MODE_RFC3168`.
const ECN_OK: u64 = 1;
/// `TCP_ECN_SEEN`.
const ECN_SEEN: u64 = 8;
/// `TCP_ECN_MODE_ACCECN`, 6.18.
const ECN_ACCECN: u64 = 16;

/// `ICSK_TIME_*`: the timers that `icsk_pending` names.
const TIMERS: &[(u64, &str)] =
    &[(1, "retrans"), (3, "probe0"), (5, "loss_probe"), (6, "reo_timeout")];
const TIMER_PENDING: &[Condition] = &[Condition::is_not(slot!(Record, timer.pending), 0)];

/// `enum tcp_chrono`.
const CHRONOS: &[(u64, &str)] = &[(1, "busy"), (2, "rwnd_limited"), (3, "sndbuf_limited")];
const CHRONO_RUNS: &[Condition] = &[Condition::is_not(slot!(Record, chrono_now.chrono_type), 0)];

/// `enum sk_pacing`.
const PACING_STATES: &[&str] = &["none", "needed", "fq"];
/// There is no struct socket (probe.h).
const NO_SOCKET: u64 = 255;

fn ecn([flags, ..]: Inputs) -> Value<'static> {
    Str(if flags & ECN_ACCECN != 0 {
        "accecn"
    } else if flags & ECN_OK != 0 {
        "ecn"
    } else {
        "off"
    })
}

/// `max(write_seq - snd_nxt, 0)`, in sequence space.
fn notsent([write_seq, snd_nxt, ..]: Inputs) -> Value<'static> {
    let bytes = difference(write_seq, snd_nxt);
    U64(if bytes > i32::MAX as u64 { 0 } else { bytes })
}

/// A column that reads a member of `tcp_sock` which older kernels do not have.
const fn since(member: &'static str, column: Column) -> Column {
    needs(Member { type_name: "tcp_sock", member }, column)
}

/// Columns that every reader provides, in output order.
#[rustfmt::skip]
pub static STANDARD: &[Column] = &[
    std("mark", (Unsigned, Unit::None), "skb->mark", "Firewall mark of the packet. The socket's own is `sk_mark`.", of!(Record, std.mark)),
    std("data_len", (Unsigned, Bytes), "skb->len less the TCP header", "Payload length of the packet, of all its segments if coalesced (GRO, loopback). With `--reader record` it has 16 bits, which wrap at 64 KiB.", of!(Record, std.data_len)),
    std("snd_nxt", (Unsigned, Sequence), "tp->snd_nxt", "Next sequence number to send.", of!(Record, std.snd_nxt)),
    std("snd_una", (Unsigned, Sequence), "tp->snd_una", "First unacknowledged sequence number.", of!(Record, std.snd_una)),
    std("snd_cwnd", (Unsigned, Segments), "tp->snd_cwnd", "Congestion window.", of!(Record, std.snd_cwnd)),
    std("ssthresh", (Unsigned, Segments), "tcp_current_ssthresh(sk)", "Slow-start threshold in effect: outside CWR and Recovery, at least 3/4 of cwnd. Null if infinite. The stored one is `snd_ssthresh`.", of!(Record, std.ssthresh).unset(INFINITE_SSTHRESH)),
    std("snd_wnd", (Unsigned, Bytes), "tp->snd_wnd", "Receive window last accepted from the peer.", of!(Record, std.snd_wnd)),
    std("srtt_us", (Unsigned, Microseconds), "tp->srtt_us >> 3", "Smoothed RTT. Null before the first sample.", of!(Record, std.srtt_us).unset(0)),
    std("rcv_wnd", (Unsigned, Bytes), "tp->rcv_wnd", "Receive window last advertised. It does not shrink as data arrives.", of!(Record, std.rcv_wnd)),
    std("bytes_in_flight", (Unsigned, Bytes), "tp->snd_nxt - tp->snd_una", "Bytes sent and not acknowledged.", call!(Record, [std.snd_nxt, std.snd_una], |[nxt, una, ..]| U64(difference(nxt, una)))),
];

/// Owner columns, with `--all-fields` only.
pub static OWNER: &[Column] = &owner_columns!(Record, owner, full, full, &[], &[HAS_PID]);

const HAS_PID: Condition = Condition::is_not(slot!(Record, owner.pid), 0);

/// Columns that only a reader of the socket provides, in output order after the owner.
#[rustfmt::skip]
pub static FULL: &[Column] = &[
    full("ifindex", (Unsigned, Unit::None), "skb->skb_iif", "Index of the interface that the packet arrived on. Null if not known.", of!(Record, owner.ifindex).unset(0)),
    full("state", (Text, Unit::None), "sk->sk_state", "TCP state. Always ESTABLISHED in `probe`.", of!(Record, cong.state).named(List(TCP_STATES))),
    full("ca_name", (Text, Unit::None), "icsk_ca_ops->name", "Congestion-control algorithm.", text!(Record, ca.name)),
    full("ca_state", (Text, Unit::None), "icsk_ca_state", "Recovery state: Open, Disorder, CWR, Recovery or Loss.", of!(Record, cong.ca_state).named(List(CA_STATES))),
    full("snd_ssthresh", (Unsigned, Segments), "tp->snd_ssthresh", "Stored slow-start threshold. Null if infinite.", of!(Record, cong.snd_ssthresh).unset(INFINITE_SSTHRESH)),
    full("rttvar_us", (Unsigned, Microseconds), "tp->rttvar_us >> 2", "Smoothed maximum of `mdev_us` over one RTT. The RTO is computed from it.", of!(Record, rtt.rttvar_us)),
    full("mdev_us", (Unsigned, Microseconds), "tp->mdev_us >> 2", "Mean deviation of the RTT (`rttvar` in TCP_INFO and ss).", of!(Record, rtt.mdev_us)),
    full("min_rtt_us", (Unsigned, Microseconds), "tcp_min_rtt(tp)", "Minimum RTT over the last tcp_min_rtt_wlen seconds. Null before the first sample.", of!(Record, rtt.min_rtt_us).unset(u32::MAX as u64)),
    full("rack_rtt_us", (Unsigned, Microseconds), "tp->rack.rtt_us", "RTT of the segment that was delivered last, without smoothing. Null before the first.", of!(Record, rack.rtt_us).unset(0)),
    full("rto_us", (Unsigned, Microseconds), "icsk_rto", "Retransmission timeout.", of!(Record, rtt.rto_us)),
    full("ato_us", (Unsigned, Microseconds), "icsk_ack.ato", "Delayed-ACK timeout.", of!(Record, timer.ato_us)),
    full("backoff", (Unsigned, Count), "icsk_backoff", "Number of times that the timeout has been doubled.", of!(Record, timer.backoff)),
    full("retransmits", (Unsigned, Count), "icsk_retransmits", "Consecutive timeouts without an ACK.", of!(Record, timer.retransmits)),
    full("probes_out", (Unsigned, Count), "icsk_probes_out", "Unanswered zero-window or keepalive probes.", of!(Record, timer.probes_out)),
    full("timer", (Text, Unit::None), "icsk_pending", "Pending timer: retrans, probe0 (zero window), loss_probe (TLP) or reo_timeout (RACK). Null if none.", of!(Record, timer.pending).named(Pairs(TIMERS))),
    full("timer_us", (Unsigned, Microseconds), "icsk_retransmit_timer", "Time until that timer fires, rounded to jiffies. Null if none is pending.", of!(Record, timer.timer_us).when(TIMER_PENDING)),
    full("mss", (Unsigned, Bytes), "tp->mss_cache", "MSS in use for sending.", of!(Record, mss.mss)),
    full("advmss", (Unsigned, Bytes), "tp->advmss", "MSS advertised to the peer.", of!(Record, mss.advmss)),
    full("rcv_mss", (Unsigned, Bytes), "icsk_ack.rcv_mss", "Estimate of the peer's MSS.", of!(Record, mss.rcv_mss)),
    full("pmtu", (Unsigned, Bytes), "icsk_pmtu_cookie", "Path MTU.", of!(Record, mss.pmtu)),
    full("packets_out", (Unsigned, Segments), "tp->packets_out", "Segments sent and not cumulatively acknowledged (`unacked` in ss).", of!(Record, flight.packets_out)),
    full("retrans_out", (Unsigned, Segments), "tp->retrans_out", "Retransmitted segments not yet acknowledged.", of!(Record, flight.retrans_out)),
    full("sacked_out", (Unsigned, Segments), "tp->sacked_out", "SACKed segments (without SACK: duplicate ACKs).", of!(Record, flight.sacked_out)),
    full("lost_out", (Unsigned, Segments), "tp->lost_out", "Segments currently marked lost.", of!(Record, flight.lost_out)),
    full("packets_in_flight", (Unsigned, Segments), "tcp_packets_in_flight(tp)", "Segments in flight: packets_out - sacked_out - lost_out + retrans_out.", call!(Record, [flight.packets_out, flight.sacked_out, flight.lost_out, flight.retrans_out], in_flight)),
    full("total_retrans", (Unsigned, Segments), "tp->total_retrans", "Segments retransmitted in the connection's lifetime.", of!(Record, loss.total_retrans)),
    full("lost", (Unsigned, Segments), "tp->lost", "Segments ever marked lost, rightly or not.", of!(Record, loss.lost)),
    full("delivered", (Unsigned, Segments), "tp->delivered", "Segments delivered to the peer, retransmissions included.", of!(Record, rate.delivered)),
    full("delivered_ce", (Unsigned, Segments), "tp->delivered_ce", "Of `delivered`, segments that the peer acknowledged with an ECN mark.", of!(Record, rate.delivered_ce)),
    full("delivery_rate", (Unsigned, BytesPerSecond), "tcp_compute_delivery_rate(tp)", "Most recent delivery rate. Null before the first sample.", call!(Record, [rate.rate_delivered, mss.mss, rate.rate_interval_us], delivery_rate)),
    full("app_limited", (Flag, Unit::None), "tp->rate_app_limited", "True if the application limited that rate.", of!(Record, rate.rate_app_limited).flag()),
    full("is_cwnd_limited", (Flag, Unit::None), "tp->is_cwnd_limited", "True if cwnd limited sending in the last window.", of!(Record, cong.is_cwnd_limited).flag()),
    full("pacing_rate", (Unsigned, BytesPerSecond), "sk->sk_pacing_rate", "Pacing rate. Null if not set.", of!(Record, rate.pacing_rate).unset(u64::MAX)),
    full("max_pacing_rate", (Unsigned, BytesPerSecond), "sk->sk_max_pacing_rate", "SO_MAX_PACING_RATE. Null if not set.", of!(Record, rate.max_pacing_rate).unset(u64::MAX)),
    full("pacing_status", (Text, Unit::None), "sk->sk_pacing_status", "Who paces the connection: none, TCP itself (needed), or the fq qdisc (fq).", of!(Record, pacing.status).named(List(PACING_STATES))),
    full("tcp_wstamp_ns", (Unsigned, Nanoseconds), "tp->tcp_wstamp_ns", "Departure time of the last segment, or, with pacing, the earliest one of the next, on CLOCK_MONOTONIC. Null before the first.", of!(Record, pacing.tcp_wstamp_ns).unset(0)),
    full("tsq_flags", (Unsigned, Unit::None), "sk->sk_tsq_flags", "Flags, as a number. 1 (TSQ_THROTTLED): sending has stopped at the limit on packets in the layers below (`wmem_alloc`). 2 (TSQ_QUEUED): it is about to continue. Higher bits: work that waits until no process holds the socket.", of!(Record, pacing.tsq_flags)),
    full("reordering", (Unsigned, Segments), "tp->reordering", "Packet reordering metric: tolerated distance.", of!(Record, loss.reordering)),
    since("reord_seen", full("reord_seen", (Unsigned, Count), "tp->reord_seen", "Reordering events.", of!(Record, loss.reord_seen))),
    since("dsack_dups", full("dsack_dups", (Unsigned, Count), "tp->dsack_dups", "Duplicate segments that the peer reported by DSACK.", of!(Record, loss.dsack_dups))),
    since("bytes_sent", full("bytes_sent", (Unsigned, Bytes), "tp->bytes_sent", "Payload bytes sent, retransmissions included.", of!(Record, data.bytes_sent))),
    full("bytes_acked", (Unsigned, Bytes), "tp->bytes_acked", "Bytes acknowledged by the peer. SYN and FIN count as one each.", of!(Record, data.bytes_acked)),
    full("bytes_received", (Unsigned, Bytes), "tp->bytes_received", "Bytes received in order. A FIN counts as one.", of!(Record, data.bytes_received)),
    since("bytes_retrans", full("bytes_retrans", (Unsigned, Bytes), "tp->bytes_retrans", "Payload bytes retransmitted.", of!(Record, loss.bytes_retrans))),
    full("segs_in", (Unsigned, Segments), "tp->segs_in", "Segments received.", of!(Record, data.segs_in)),
    full("segs_out", (Unsigned, Segments), "tp->segs_out", "Segments sent.", of!(Record, data.segs_out)),
    full("data_segs_in", (Unsigned, Segments), "tp->data_segs_in", "Segments with payload received.", of!(Record, data.data_segs_in)),
    full("data_segs_out", (Unsigned, Segments), "tp->data_segs_out", "Segments with payload sent.", of!(Record, data.data_segs_out)),
    full("notsent_bytes", (Unsigned, Bytes), "tp->write_seq - tp->snd_nxt", "Bytes that the application has written and TCP has not sent yet.", call!(Record, [data.write_seq, std.snd_nxt], notsent)),
    full("write_seq", (Unsigned, Sequence), "tp->write_seq", "Sequence number after the last byte that the application has written.", of!(Record, data.write_seq)),
    full("rcv_nxt", (Unsigned, Sequence), "tp->rcv_nxt", "Next sequence number expected from the peer.", of!(Record, data.rcv_nxt)),
    full("rcv_ssthresh", (Unsigned, Bytes), "tp->rcv_ssthresh", "Current limit of the advertised window.", of!(Record, window.rcv_ssthresh)),
    full("window_clamp", (Unsigned, Bytes), "tp->window_clamp", "Largest window that may be advertised.", of!(Record, window.window_clamp)),
    full("max_window", (Unsigned, Bytes), "tp->max_window", "Largest window ever advertised by the peer.", of!(Record, window.max_window)),
    full("rcv_rtt_us", (Unsigned, Microseconds), "tp->rcv_rtt_est.rtt_us >> 3", "Receiver's RTT estimate. Null before the first.", of!(Record, window.rcv_rtt_us).unset(0)),
    full("rcv_space", (Unsigned, Bytes), "tp->rcvq_space.space", "Most bytes that the application has read in one RTT so far.", of!(Record, window.rcv_space)),
    since("rcv_ooopack", full("rcv_ooopack", (Unsigned, Count), "tp->rcv_ooopack", "Packets received out of order.", of!(Record, window.rcv_ooopack))),
    full("last_data_sent_us", (Unsigned, Microseconds), "tp->lsndtime", "Time since data was last sent, in whole jiffies.", of!(Record, last.last_data_sent_us)),
    full("last_data_recv_us", (Unsigned, Microseconds), "icsk_ack.lrcvtime", "Time since data was last received, in whole jiffies.", of!(Record, last.last_data_recv_us)),
    full("last_ack_recv_us", (Unsigned, Microseconds), "tp->rcv_tstamp", "Time since an ACK was last received, in whole jiffies.", of!(Record, last.last_ack_recv_us)),
    full("busy_us", (Unsigned, Microseconds), "tp->chrono_stat", "Time with data to send, including `rwnd_limited_us` and `sndbuf_limited_us`.", of!(Record, chrono.busy_us)),
    full("rwnd_limited_us", (Unsigned, Microseconds), "tp->chrono_stat", "Time limited by the peer's receive window.", of!(Record, chrono.rwnd_limited_us)),
    full("sndbuf_limited_us", (Unsigned, Microseconds), "tp->chrono_stat", "Time limited by the send buffer.", of!(Record, chrono.sndbuf_limited_us)),
    full("chrono_type", (Text, Unit::None), "tp->chrono_type", "Which of these times runs now: busy, rwnd_limited or sndbuf_limited. `busy_us` includes the other two. Null if none: all data is acknowledged.", of!(Record, chrono_now.chrono_type).named(Pairs(CHRONOS))),
    full("chrono_elapsed_us", (Unsigned, Microseconds), "tp->chrono_start", "Time since `chrono_type` changed last, in whole jiffies; part of that time. Null if none runs.", of!(Record, chrono_now.elapsed_us).when(CHRONO_RUNS)),
    full("sock_nospace", (Flag, Unit::None), "sk->sk_socket->flags", "True if the application waits for room in the send buffer (SOCK_NOSPACE). Null if no process has accepted the connection.", of!(Record, nospace.sock_nospace).flag().unset(NO_SOCKET)),
    full("wmem_queued", (Signed, Bytes), "sk->sk_wmem_queued", "Memory of the send queue (skmem `w` in ss).", of!(Record, memory.wmem_queued)),
    full("wmem_alloc", (Signed, Bytes), "sk->sk_wmem_alloc", "Memory of packets handed to the layers below, plus one byte (skmem `t` in ss, which leaves that out).", of!(Record, memory.wmem_alloc)),
    full("sndbuf", (Signed, Bytes), "sk->sk_sndbuf", "Send buffer limit (skmem `tb` in ss).", of!(Record, memory.sndbuf)),
    full("rmem_alloc", (Signed, Bytes), "sk->sk_rmem_alloc", "Memory of the receive queue (skmem `r` in ss).", of!(Record, memory.rmem_alloc)),
    full("rcvbuf", (Signed, Bytes), "sk->sk_rcvbuf", "Receive buffer limit (skmem `rb` in ss).", of!(Record, memory.rcvbuf)),
    full("forward_alloc", (Signed, Bytes), "sk->sk_forward_alloc", "Memory charged in advance (skmem `f` in ss).", of!(Record, memory.forward_alloc)),
    full("omem_alloc", (Signed, Bytes), "sk->sk_omem_alloc", "Option memory (skmem `o` in ss).", of!(Record, memory.omem_alloc)),
    full("backlog_len", (Signed, Bytes), "sk->sk_backlog.len", "Memory of the socket backlog (skmem `bl` in ss).", of!(Record, memory.backlog_len)),
    full("drops", (Unsigned, Count), "sk->sk_drops", "Packets dropped at the socket (skmem `d` in ss).", of!(Record, memory.drops)),
    full("ecn", (Text, Unit::None), "tp->ecn_flags", "Negotiated ECN: off, ecn, or accecn (since Linux 6.18).", call!(Record, [options.ecn_flags], ecn)),
    full("ecn_seen", (Flag, Unit::None), "tp->ecn_flags", "True if a packet with an ECN mark has been received.", of!(Record, options.ecn_flags).bits(ECN_SEEN)),
    full("tstamp_ok", (Flag, Unit::None), "tp->rx_opt.tstamp_ok", "True if timestamps were negotiated.", of!(Record, options.tstamp_ok).flag()),
    full("sack_ok", (Flag, Unit::None), "tp->rx_opt.sack_ok", "True if SACK was negotiated.", of!(Record, options.sack_ok).flag()),
    full("snd_wscale", (Unsigned, Unit::None), "tp->rx_opt.snd_wscale", "Window scale of the peer. Null if not negotiated.", of!(Record, options.snd_wscale).unset(NO_WSCALE)),
    full("rcv_wscale", (Unsigned, Unit::None), "tp->rx_opt.rcv_wscale", "Local window scale. Null if not negotiated.", of!(Record, options.rcv_wscale).unset(NO_WSCALE)),
    full("prior_cwnd", (Unsigned, Segments), "tp->prior_cwnd", "Congestion window before the current or last reduction.", of!(Record, recovery.prior_cwnd)),
    full("prior_ssthresh", (Unsigned, Segments), "tp->prior_ssthresh", "Slow-start threshold that an undo restores. Null if infinite.", of!(Record, recovery.prior_ssthresh).unset(INFINITE_SSTHRESH)),
    full("snd_cwnd_cnt", (Unsigned, Segments), "tp->snd_cwnd_cnt", "Segments acknowledged towards the next increase of cwnd.", of!(Record, recovery.snd_cwnd_cnt)),
    full("snd_cwnd_clamp", (Unsigned, Segments), "tp->snd_cwnd_clamp", "Upper limit of cwnd. Null if none.", of!(Record, recovery.snd_cwnd_clamp).unset(u32::MAX as u64)),
    full("prr_delivered", (Unsigned, Segments), "tp->prr_delivered", "Segments delivered in this recovery (proportional rate reduction).", of!(Record, recovery.prr_delivered)),
    full("prr_out", (Unsigned, Segments), "tp->prr_out", "Segments sent in this recovery (proportional rate reduction).", of!(Record, recovery.prr_out)),
    full("high_seq", (Unsigned, Sequence), "tp->high_seq", "snd_nxt at the onset of congestion.", of!(Record, recovery.high_seq)),
    full("undo_marker", (Unsigned, Sequence), "tp->undo_marker", "snd_una at the start of the episode that can be undone. Null if none can.", of!(Record, recovery.undo_marker).unset(0)),
    full("undo_retrans", (Signed, Segments), "tp->undo_retrans", "Retransmissions yet to prove spurious for an undo.", of!(Record, recovery.undo_retrans)),
    full("tlp_high_seq", (Unsigned, Sequence), "tp->tlp_high_seq", "snd_nxt at the last tail loss probe. Null if none is outstanding.", of!(Record, recovery.tlp_high_seq).unset(0)),
    since("timeout_rehash", full("timeout_rehash", (Unsigned, Count), "tp->timeout_rehash", "Rehash attempts after timeouts.", of!(Record, loss.timeout_rehash))),
    since("is_mptcp", full("mptcp_token", (Unsigned, Unit::None), "mptcp_subflow_ctx(sk)->token", "Token of the MPTCP connection that the subflow belongs to, which `ss -M` prints in hexadecimal. Null if the socket is not a subflow, and for listeners.", of!(Record, options.mptcp_token).unset(0))),
    full("sk_mark", (Unsigned, Unit::None), "sk->sk_mark", "Mark of the socket (SO_MARK).", of!(Record, options.sk_mark)),
    full("sk_priority", (Unsigned, Unit::None), "sk->sk_priority", "Priority of the socket (SO_PRIORITY).", of!(Record, options.sk_priority)),
    full("tos", (Unsigned, Unit::None), "inet->tos", "TOS of the socket (IP_TOS).", of!(Record, options.tos)),
];
