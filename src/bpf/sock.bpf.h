/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From the kernel's sockets to our records.
 *
 * A member of the tracepoint's own argument, a struct sock, is a plain load in a typed program. One of struct tcp_sock is
 * not: bpf_skc_to_tcp_sock() gives a pointer that the verifier does not trust, so each load checks its address (3 ns
 * each; a probe read is 70). For the hundred of them that make a full record one probe read of the whole costs less than
 * half. So here `sk` and `tp` are what may be loaded from: the real ones or copies.
 */
#ifndef __TCC_SOCK_BPF_H__
#define __TCC_SOCK_BPF_H__

#include "kernel.h"
#include "event.h"
#include "maps.bpf.h"
#include "compat.bpf.h"
#include "mptcp.bpf.h"

static __always_inline void ipv4_mapped(__u8 out[16], __be32 v4)
{
	__be32 *word = (void *)out;

	word[0] = 0;
	word[1] = 0;
	word[2] = bpf_htonl(0xffff);
	word[3] = v4;
}

static __always_inline void load_addrs(struct sock *sk, __u8 saddr[16], __u8 daddr[16])
{
	__be32 *s = (void *)saddr, *d = (void *)daddr;

	if (sk->__sk_common.skc_family == AF_INET6) {
		s[0] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[0];
		s[1] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[1];
		s[2] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[2];
		s[3] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[3];
		d[0] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[0];
		d[1] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[1];
		d[2] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[2];
		d[3] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[3];
	} else {
		ipv4_mapped(saddr, sk->__sk_common.skc_rcv_saddr);
		ipv4_mapped(daddr, sk->__sk_common.skc_daddr);
	}
}

/*
 * The socket from that offset on, and the packet, as far as there is room for them; `from` must be a constant. False
 * where the kernel does not let us read.
 */
static __always_inline bool copy_sock(struct copies *copy, struct sock *sk, __u64 from)
{
	__u64 end = bpf_core_type_size(struct tcp_sock);

	if (end > sizeof(copy->sock))
		end = sizeof(copy->sock);
	return !bpf_probe_read_kernel(copy->sock + from, end - from, (void *)sk + from);
}

static __always_inline bool copy_skb(struct copies *copy, struct sk_buff *skb)
{
	__u64 size = bpf_core_type_size(struct sk_buff);

	return !bpf_probe_read_kernel(copy->skb, size < sizeof(copy->skb) ? size : sizeof(copy->skb), skb);
}

/* `typed`: it is the socket itself, in a program where the verifier knows that. */
static __always_inline void load_head(struct tcc_head *h, struct sock *sk, __u8 event_type, __u16 len, const bool typed)
{
	h->mono_ns = bpf_ktime_get_ns();
	h->cookie = sk->__sk_common.skc_cookie.counter;
	if (typed && !h->cookie && cfg.cookie_helper)
		h->cookie = bpf_get_socket_cookie(sk);
	load_addrs(sk, h->saddr, h->daddr);
	h->sport = sk->__sk_common.skc_num;
	h->dport = bpf_ntohs(sk->__sk_common.skc_dport);
	h->event_type = event_type;
	h->full = cfg.full ? TCC_HEAD_FULL : 0;
	h->len = len;
}

/* Exact for every CONFIG_HZ that divides a million; else within a millionth. */
static __always_inline __u64 jiffies_us(__u32 jiffies)
{
	return jiffies * cfg.us_per_jiffy_q16 >> 16;
}

/* tcp_current_ssthresh(): while cwnd is not being reduced, three quarters of it count as well. */
static __always_inline __u32 current_ssthresh(__u32 snd_ssthresh, __u32 snd_cwnd, __u8 ca_state)
{
	__u32 from_cwnd = (snd_cwnd >> 1) + (snd_cwnd >> 2);

	if (ca_state == TCP_CA_CWR || ca_state == TCP_CA_RECOVERY)
		return snd_ssthresh;
	return snd_ssthresh > from_cwnd ? snd_ssthresh : from_cwnd;
}

/* tcp_get_info_chrono_stats(): closed periods plus the one that runs now. */
static __always_inline void load_chrono(struct tcc_sock *out, struct tcp_sock *tp, __u32 now)
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

/* The algorithm's name. Where types are known two loads of it cost a tenth of a probe read. */
static __always_inline void load_ca_name(struct tcc_sock *out, struct sock *sk, struct inet_connection_sock *icsk,
					 const bool typed)
{
	struct tcp_sock *tp = typed ? bpf_skc_to_tcp_sock(sk) : NULL;
	const __u64 *from;
	__u64 *to = (void *)out->ca_name;

	if (tp) {
		from = (void *)((struct inet_connection_sock *)tp)->icsk_ca_ops->name;
		to[0] = from[0];
		to[1] = from[1];
	} else {
		bpf_core_read(out->ca_name, sizeof(out->ca_name), &icsk->icsk_ca_ops->name);
	}
}

static __always_inline void load_ca(struct tcc_sock *out, struct sock *sk, struct inet_connection_sock *icsk,
				    const bool typed)
{
	__u64 *priv = (void *)out->ca_priv;

	load_ca_name(out, sk, icsk, typed);
#pragma unroll
	for (int i = 0; i < TCC_CA_PRIV_LEN / 8; i++)
		priv[i] = i * 8 < bpf_core_field_size(icsk->icsk_ca_priv) ? icsk->icsk_ca_priv[i] : 0; /* 4.18: 11 words */
}

static __always_inline void load_icsk(struct tcc_sock *out, struct sock *sk, struct inet_connection_sock *icsk,
				      __u32 now, const bool typed)
{
	__s32 left;

	out->rto_us = jiffies_us(icsk->icsk_rto);
	out->pmtu = icsk->icsk_pmtu_cookie;
	out->retransmits = icsk->icsk_retransmits;
	out->backoff = icsk->icsk_backoff;
	out->probes_out = icsk->icsk_probes_out;
	out->pending = icsk->icsk_pending;
	out->ato_us = jiffies_us(BPF_CORE_READ_BITFIELD(icsk, icsk_ack.ato));
	out->rcv_mss = icsk->icsk_ack.rcv_mss;
	out->last_data_recv_us = jiffies_us(now - icsk->icsk_ack.lrcvtime);
	left = retransmit_expires(sk, (struct tcp_sock *)icsk) - now;
	out->timer_us = out->pending && left > 0 ? jiffies_us(left) : 0;

	load_ca(out, sk, icsk, typed);
}

static __always_inline void load_mem(struct tcc_sock *out, struct sock *sk)
{
	out->pacing_rate = sk->sk_pacing_rate;
	out->max_pacing_rate = sk->sk_max_pacing_rate;
	out->sk_mark = sk->sk_mark;
	out->sk_priority = sk->sk_priority;
	out->drops = sk->sk_drops.counter;
	out->wmem_queued = sk->sk_wmem_queued;
	out->wmem_alloc = sk->sk_wmem_alloc.refs.counter;
	out->sndbuf = sk->sk_sndbuf;
	out->rmem_alloc = sk->sk_backlog.rmem_alloc.counter;
	out->rcvbuf = sk->sk_rcvbuf;
	out->forward_alloc = sk->sk_forward_alloc;
	out->omem_alloc = sk->sk_omem_alloc.counter;
	out->backlog_len = sk->sk_backlog.len;
	out->state = sk->__sk_common.skc_state;
}

static __always_inline void load_options(struct tcc_sock *out, struct tcp_sock *tp)
{
	bool wscale_ok = BPF_CORE_READ_BITFIELD(tp, rx_opt.wscale_ok);

	out->tstamp_ok = BPF_CORE_READ_BITFIELD(tp, rx_opt.tstamp_ok);
	out->sack_ok = BPF_CORE_READ_BITFIELD(tp, rx_opt.sack_ok);
	out->snd_wscale = wscale_ok ? BPF_CORE_READ_BITFIELD(tp, rx_opt.snd_wscale) : 255;
	out->rcv_wscale = wscale_ok ? BPF_CORE_READ_BITFIELD(tp, rx_opt.rcv_wscale) : 255;
	out->ecn_flags = tp->ecn_flags;
	out->tos = ((struct inet_sock *)tp)->tos;
}

/* The counters that struct tcp_info has too; scaled times are unscaled as tcp_get_info() does. */
static __always_inline void load_tcp(struct tcc_sock *out, struct tcp_sock *tp, __u32 now)
{
	out->bytes_sent = LOAD_IF(tp, bytes_sent); /* 4.19 */
	out->bytes_acked = tp->bytes_acked;
	out->bytes_received = tp->bytes_received;
	out->bytes_retrans = LOAD_IF(tp, bytes_retrans); /* 4.19 */
	out->snd_ssthresh = tp->snd_ssthresh;
	out->rttvar_us = tp->rttvar_us >> 2;
	out->mdev_us = tp->mdev_us >> 2;
	out->min_rtt_us = tp->rtt_min.s[0].v;
	out->mss = tp->mss_cache;
	out->advmss = tp->advmss;
	out->packets_out = tp->packets_out;
	out->retrans_out = tp->retrans_out;
	out->sacked_out = tp->sacked_out;
	out->lost_out = tp->lost_out;
	out->total_retrans = tp->total_retrans;
	out->lost = tp->lost;
	out->delivered = tp->delivered;
	out->delivered_ce = tp->delivered_ce;
	out->rate_delivered = tp->rate_delivered;
	out->rate_interval_us = tp->rate_interval_us;
	out->reordering = tp->reordering;
	out->reord_seen = LOAD_IF(tp, reord_seen); /* 4.19 */
	out->dsack_dups = LOAD_IF(tp, dsack_dups); /* 4.19 */
	out->segs_in = tp->segs_in;
	out->segs_out = tp->segs_out;
	out->data_segs_in = tp->data_segs_in;
	out->data_segs_out = tp->data_segs_out;
	out->write_seq = tp->write_seq;
	out->rcv_nxt = tp->rcv_nxt;
	out->rcv_ssthresh = tp->rcv_ssthresh;
	out->window_clamp = tp->window_clamp;
	out->rcv_rtt_us = tp->rcv_rtt_est.rtt_us >> 3;
	out->rcv_space = tp->rcvq_space.space;
	out->rcv_ooopack = LOAD_IF(tp, rcv_ooopack); /* 5.4 */
	out->last_data_sent_us = jiffies_us(now - tp->lsndtime);
	out->last_ack_recv_us = jiffies_us(now - tp->rcv_tstamp);
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
	out->timeout_rehash = LOAD_IF(tp, timeout_rehash); /* 5.8 */
	out->rate_app_limited = BPF_CORE_READ_BITFIELD(tp, rate_app_limited);
	out->is_cwnd_limited = BPF_CORE_READ_BITFIELD(tp, is_cwnd_limited);
	out->max_window = tp->max_window;
	out->mptcp_token = mptcp_token(tp);
}

static __always_inline __u8 load_ca_state(struct tcp_sock *tp)
{
	return BPF_CORE_READ_BITFIELD((struct inet_connection_sock *)tp, icsk_ca_state);
}

static __always_inline void load_sock(struct tcc_sock *out, struct sock *sk, struct tcp_sock *tp, __u8 ca_state,
				      const bool typed)
{
	__u32 now = bpf_jiffies64();

	load_tcp(out, tp, now);
	load_chrono(out, tp, now);
	load_icsk(out, sk, (struct inet_connection_sock *)tp, now, typed);
	load_mem(out, sk);
	load_options(out, tp);
	out->ca_state = ca_state;
}

#endif
