/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Loads the field groups of a `probe` record, one function each. `sk` and `tp` as in sock.bpf.h. Times that struct tcp_info has
 * too are unscaled as tcp_get_info() does.
 */
#ifndef __TCC_FIELDS_BPF_H__
#define __TCC_FIELDS_BPF_H__

#include "kernel.h"
#include "event.h"
#include "probe.h"
#include "config.h"
#include "maps.bpf.h"
#include "compat.bpf.h"
#include "mptcp.bpf.h"
#include "sock.bpf.h"
#include "conn.bpf.h"

static __always_inline void load_cong(struct tcc_probe_cong *out, struct sock *sk, struct tcp_sock *tp, __u8 ca_state)
{
	out->snd_ssthresh = tp->snd_ssthresh;
	out->ca_state = ca_state;
	out->is_cwnd_limited = BPF_CORE_READ_BITFIELD(tp, is_cwnd_limited);
	out->state = sk->__sk_common.skc_state;
	out->unused = 0;
}

static __always_inline void load_flight(struct tcc_probe_flight *out, struct tcp_sock *tp)
{
	out->packets_out = tp->packets_out;
	out->retrans_out = tp->retrans_out;
	out->sacked_out = tp->sacked_out;
	out->lost_out = tp->lost_out;
}

static __always_inline void load_rtt(struct tcc_probe_rtt *out, struct tcp_sock *tp)
{
	out->rttvar_us = tp->rttvar_us >> 2;
	out->mdev_us = tp->mdev_us >> 2;
	out->min_rtt_us = tp->rtt_min.s[0].v;
	out->rto_us = jiffies_us(((struct inet_connection_sock *)tp)->icsk_rto);
}

static __always_inline void load_timer(struct tcc_probe_timer *out, struct sock *sk, struct tcp_sock *tp, __u32 now)
{
	struct inet_connection_sock *icsk = (void *)tp;
	__u8 pending = icsk->icsk_pending;
	__s32 left = retransmit_expires(sk, tp) - now;

	out->timer_us = pending && left > 0 ? jiffies_us(left) : 0;
	out->ato_us = jiffies_us(BPF_CORE_READ_BITFIELD(icsk, icsk_ack.ato));
	out->pending = pending;
	out->retransmits = icsk->icsk_retransmits;
	out->backoff = icsk->icsk_backoff;
	out->probes_out = icsk->icsk_probes_out;
	out->unused = 0;
}

static __always_inline void load_mss(struct tcc_probe_mss *out, struct tcp_sock *tp)
{
	struct inet_connection_sock *icsk = (void *)tp;

	out->mss = tp->mss_cache;
	out->advmss = tp->advmss;
	out->rcv_mss = icsk->icsk_ack.rcv_mss;
	out->pmtu = icsk->icsk_pmtu_cookie;
}

static __always_inline void load_rate(struct tcc_probe_rate *out, struct sock *sk, struct tcp_sock *tp)
{
	out->pacing_rate = sk->sk_pacing_rate;
	out->max_pacing_rate = sk->sk_max_pacing_rate;
	out->delivered = tp->delivered;
	out->delivered_ce = tp->delivered_ce;
	out->rate_delivered = tp->rate_delivered;
	out->rate_interval_us = tp->rate_interval_us;
	out->rate_app_limited = BPF_CORE_READ_BITFIELD(tp, rate_app_limited);
	__builtin_memset(out->unused, 0, sizeof(out->unused));
}

static __always_inline void load_loss(struct tcc_probe_loss *out, struct tcp_sock *tp)
{
	out->bytes_retrans = LOAD_IF(tp, bytes_retrans); /* 4.19 */
	out->total_retrans = tp->total_retrans;
	out->lost = tp->lost;
	out->reordering = tp->reordering;
	out->reord_seen = LOAD_IF(tp, reord_seen); /* 4.19 */
	out->dsack_dups = LOAD_IF(tp, dsack_dups); /* 4.19 */
	out->timeout_rehash = LOAD_IF(tp, timeout_rehash); /* 5.8 */
	out->unused = 0;
}

static __always_inline void load_recovery(struct tcc_probe_recovery *out, struct tcp_sock *tp)
{
	out->prior_cwnd = tp->prior_cwnd;
	out->prior_ssthresh = tp->prior_ssthresh;
	out->snd_cwnd_cnt = tp->snd_cwnd_cnt;
	out->snd_cwnd_clamp = tp->snd_cwnd_clamp;
	out->prr_delivered = tp->prr_delivered;
	out->prr_out = tp->prr_out;
	out->high_seq = tp->high_seq;
	out->undo_marker = tp->undo_marker;
	out->undo_retrans = tp->undo_retrans;
	out->tlp_high_seq = tp->tlp_high_seq;
}

static __always_inline void load_data(struct tcc_probe_data *out, struct tcp_sock *tp)
{
	out->bytes_sent = LOAD_IF(tp, bytes_sent); /* 4.19 */
	out->bytes_acked = tp->bytes_acked;
	out->bytes_received = tp->bytes_received;
	out->segs_in = tp->segs_in;
	out->segs_out = tp->segs_out;
	out->data_segs_in = tp->data_segs_in;
	out->data_segs_out = tp->data_segs_out;
	out->write_seq = tp->write_seq;
	out->rcv_nxt = tp->rcv_nxt;
}

static __always_inline void load_window(struct tcc_probe_window *out, struct tcp_sock *tp)
{
	out->rcv_ssthresh = tp->rcv_ssthresh;
	out->window_clamp = tp->window_clamp;
	out->rcv_rtt_us = tp->rcv_rtt_est.rtt_us >> 3;
	out->rcv_space = tp->rcvq_space.space;
	out->rcv_ooopack = LOAD_IF(tp, rcv_ooopack); /* 5.4 */
	out->max_window = tp->max_window;
}

static __always_inline void load_last(struct tcc_probe_last *out, struct tcp_sock *tp, __u32 now)
{
	struct inet_connection_sock *icsk = (void *)tp;

	out->last_data_sent_us = jiffies_us(now - tp->lsndtime);
	out->last_data_recv_us = jiffies_us(now - icsk->icsk_ack.lrcvtime);
	out->last_ack_recv_us = jiffies_us(now - tp->rcv_tstamp);
}

/* tcp_get_info_chrono_stats(): closed periods plus the one that runs now. */
static __always_inline void load_chrono(struct tcc_probe_chrono *out, struct tcp_sock *tp, __u32 now)
{
	__u32 busy = tp->chrono_stat[0];
	__u32 rwnd = tp->chrono_stat[1];
	__u32 sndbuf = tp->chrono_stat[2];
	__u32 running = now - tp->chrono_start;
	__u8 type = BPF_CORE_READ_BITFIELD(tp, chrono_type);

	if (type == TCP_CHRONO_BUSY)
		busy += running;
	else if (type == TCP_CHRONO_RWND_LIMITED)
		rwnd += running;
	else if (type == TCP_CHRONO_SNDBUF_LIMITED)
		sndbuf += running;
	out->busy_us = jiffies_us(busy) + jiffies_us(rwnd) + jiffies_us(sndbuf);
	out->rwnd_limited_us = jiffies_us(rwnd);
	out->sndbuf_limited_us = jiffies_us(sndbuf);
}

/* tcp_chrono_set() sets chrono_start whenever chrono_type changes. */
static __always_inline void load_chrono_now(struct tcc_probe_chrono_now *out, struct tcp_sock *tp, __u32 now)
{
	out->elapsed_us = jiffies_us(now - tp->chrono_start);
	out->chrono_type = BPF_CORE_READ_BITFIELD(tp, chrono_type);
	__builtin_memset(out->unused, 0, sizeof(out->unused));
}

static __always_inline void load_pacing(struct tcc_probe_pacing *out, struct sock *sk, struct tcp_sock *tp)
{
	out->tcp_wstamp_ns = tp->tcp_wstamp_ns;
	out->tsq_flags = sk->sk_tsq_flags;
	out->status = sk->sk_pacing_status;
	__builtin_memset(out->unused, 0, sizeof(out->unused));
}

static __always_inline void load_rack(struct tcc_probe_rack *out, struct tcp_sock *tp)
{
	out->rtt_us = tp->rack.rtt_us;
	out->unused = 0;
}

/* No process has the connection yet, or none any more, where there is no struct socket. */
static __always_inline void load_nospace(struct tcc_probe_nospace *out, struct sock *sk, const bool typed)
{
	struct socket *socket = sk->sk_socket;

	out->sock_nospace = socket ? !!(FOLLOW(typed, socket, flags) & SOCK_NOSPACE) : 255;
	__builtin_memset(out->unused, 0, sizeof(out->unused));
}

static __always_inline void load_memory(struct tcc_probe_memory *out, struct sock *sk)
{
	out->wmem_queued = sk->sk_wmem_queued;
	out->wmem_alloc = sk->sk_wmem_alloc.refs.counter;
	out->sndbuf = sk->sk_sndbuf;
	out->rmem_alloc = sk->sk_backlog.rmem_alloc.counter;
	out->rcvbuf = sk->sk_rcvbuf;
	out->forward_alloc = sk->sk_forward_alloc;
	out->omem_alloc = sk->sk_omem_alloc.counter;
	out->backlog_len = sk->sk_backlog.len;
	out->drops = sk->sk_drops.counter;
	out->unused = 0;
}

static __always_inline void load_options(struct tcc_probe_options *out, struct sock *sk, struct tcp_sock *tp)
{
	bool wscale_ok = BPF_CORE_READ_BITFIELD(tp, rx_opt.wscale_ok);

	out->sk_mark = sk->sk_mark;
	out->sk_priority = sk->sk_priority;
	out->mptcp_token = mptcp_token(tp);
	out->ecn_flags = tp->ecn_flags;
	out->tstamp_ok = BPF_CORE_READ_BITFIELD(tp, rx_opt.tstamp_ok);
	out->sack_ok = BPF_CORE_READ_BITFIELD(tp, rx_opt.sack_ok);
	out->snd_wscale = wscale_ok ? BPF_CORE_READ_BITFIELD(tp, rx_opt.snd_wscale) : 255;
	out->rcv_wscale = wscale_ok ? BPF_CORE_READ_BITFIELD(tp, rx_opt.rcv_wscale) : 255;
	out->tos = ((struct inet_sock *)tp)->tos;
	__builtin_memset(out->unused, 0, sizeof(out->unused));
}

/* The algorithm's name. Where types are known two loads of it cost a tenth of a probe read. */
static __always_inline void load_ca(struct tcc_probe_ca *out, struct tcp_sock *tp, const bool typed)
{
	const struct tcp_congestion_ops *ops = ((struct inet_connection_sock *)tp)->icsk_ca_ops;
	const __u64 *from = (const void *)ops->name;
	__u64 *to = (void *)out->name;

	if (typed) {
		to[0] = from[0];
		to[1] = from[1];
	} else {
		bpf_core_read(out->name, sizeof(out->name), &ops->name);
	}
}

static __always_inline void load_ca_priv(struct tcc_probe_ca_priv *out, struct tcp_sock *tp)
{
	struct inet_connection_sock *icsk = (void *)tp;
	__u64 *priv = (void *)out->bytes;

#pragma unroll
	for (int i = 0; i < TCC_CA_PRIV_LEN / 8; i++)
		priv[i] = i * 8 < bpf_core_field_size(icsk->icsk_ca_priv) ? icsk->icsk_ca_priv[i] : 0; /* 4.18: 11 words */
}

/* Into the record at `rec`, if the group is requested. Its place is a constant to the verifier. */
#define LOAD_FIELDS(rec, group, ...)                                       \
	({                                                                 \
		__u16 at = cfg.fields[TCC_FIELDS_##group];                 \
		if (at)                                                    \
			load_##group((void *)(rec) + at, __VA_ARGS__);     \
	})

static __always_inline void load_fields(void *rec, struct sock *sk, struct tcp_sock *tp, struct conn *conn, __u32 ifindex,
					__u8 ca_state, const bool typed)
{
	__u32 now = bpf_jiffies64();

	LOAD_FIELDS(rec, owner, sk, conn, ifindex, typed);
	LOAD_FIELDS(rec, cong, sk, tp, ca_state);
	LOAD_FIELDS(rec, flight, tp);
	LOAD_FIELDS(rec, rtt, tp);
	LOAD_FIELDS(rec, timer, sk, tp, now);
	LOAD_FIELDS(rec, mss, tp);
	LOAD_FIELDS(rec, rate, sk, tp);
	LOAD_FIELDS(rec, loss, tp);
	LOAD_FIELDS(rec, recovery, tp);
	LOAD_FIELDS(rec, data, tp);
	LOAD_FIELDS(rec, window, tp);
	LOAD_FIELDS(rec, last, tp, now);
	LOAD_FIELDS(rec, chrono, tp, now);
	LOAD_FIELDS(rec, chrono_now, tp, now);
	LOAD_FIELDS(rec, pacing, sk, tp);
	LOAD_FIELDS(rec, rack, tp);
	LOAD_FIELDS(rec, nospace, sk, typed);
	LOAD_FIELDS(rec, memory, sk);
	LOAD_FIELDS(rec, options, sk, tp);
	LOAD_FIELDS(rec, ca, tp, typed);
	LOAD_FIELDS(rec, ca_priv, tp);
}

#endif
