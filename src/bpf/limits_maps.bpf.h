/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of `limits`, and how the members that its rules read are loaded. */
#ifndef __TCC_LIMITS_MAPS_BPF_H__
#define __TCC_LIMITS_MAPS_BPF_H__

#include "kernel.h"
#include "config.h"
#include "limits.h"
#include "limits_rules.h"
#include "maps.bpf.h"
#include "compat.bpf.h"
#include "sock.bpf.h"
#include "entries.bpf.h"

/*
 * Key: the socket's address. Inserted by a connection's first event or by the iterator, written by events, all of which hold the
 * socket's lock, and removed by tcp_destroy_sock.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, __u64);
	__type(value, struct tcc_limits);
} limits_conns SEC(".maps");

/* The initial value of an entry: too large for the stack. */
const volatile struct tcc_limits no_limits = {};

/* Where the iterator builds its records; it runs for one reader at a time. */
struct limits_copy {
	__u8 sock[4096];
	struct tcc_limits_snapshot snapshot;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct limits_copy);
} limits_copies SEC(".maps");

/* States in which data may be sent and tcp_probe does not fire. */
#define LIMITS_CLOSING (1 << TCP_FIN_WAIT1 | 1 << TCP_CLOSE_WAIT | 1 << TCP_LAST_ACK | 1 << TCP_CLOSING)
/* States in which nothing is left to send. */
#define LIMITS_OVER (1 << TCP_FIN_WAIT2 | 1 << TCP_TIME_WAIT | 1 << TCP_CLOSE)

static __always_inline bool limits_state_in(__u32 states, __u8 state)
{
	return states >> (state & 31) & 1;
}

/* tcp_get_info_chrono_stats(), all three together; jiffies. */
static __always_inline __u32 limits_busy(struct tcp_sock *tp)
{
	__u32 busy = tp->chrono_stat[0] + tp->chrono_stat[1] + tp->chrono_stat[2];

	if (BPF_CORE_READ_BITFIELD(tp, chrono_type))
		busy += (__u32)bpf_jiffies64() - tp->chrono_start;
	return busy;
}

/* The positions of its members in mainline; see ca_mainline.rs. */
static __always_inline void limits_load_bbr(struct limits_sock *s, struct inet_connection_sock *icsk)
{
	__u64 cycle = icsk->icsk_ca_priv[448 / 64], gains = icsk->icsk_ca_priv[628 / 64];

	s->bbr_mode = cycle & 7;
	s->bbr_lt_bw = cycle >> (479 % 64) & 1;
	s->bbr_full_bw = gains >> (628 % 64) & 1;
}

/* Another algorithm than at the last event: is it BBR? */
static __noinline int limits_ca_changed(struct tcc_limits *l, const struct tcp_congestion_ops *ops)
{
	__u8 name[TCC_CA_NAME_LEN] = {};

	l->ca_ops = (__u64)ops;
	bpf_core_read_str(name, sizeof(name), &ops->name);
	l->bbr = cfg.mainline_bbr && name[0] == 'b' && name[1] == 'b' && name[2] == 'r' && !name[3];
	return 0;
}

/* `sk` and `tp` as in sock.bpf.h. */
static __always_inline void limits_load(struct limits_sock *s, struct tcc_limits *l, struct sock *sk, struct tcp_sock *tp, const bool typed)
{
	struct inet_connection_sock *icsk = (void *)tp;
	const struct tcp_congestion_ops *ops = icsk->icsk_ca_ops;

	if ((__u64)ops != l->ca_ops)
		limits_ca_changed(l, ops);
	s->now_ns = bpf_ktime_get_ns();
	s->state = sk->__sk_common.skc_state;
	s->packets_out = tp->packets_out;
	s->write_seq = tp->write_seq;
	s->snd_nxt = tp->snd_nxt;
	s->snd_una = tp->snd_una;
	s->ca_state = load_ca_state(tp);
	s->snd_wnd = tp->snd_wnd;
	s->pending = icsk->icsk_pending;
	s->rtt_us = tp->rack.rtt_us;
	s->min_rtt_us = tp->rtt_min.s[0].v;
	s->srtt_us = tp->srtt_us >> 3;
	s->tsq = sk->sk_tsq_flags & TSQ_WAITS;
	s->pacing_rate = sk->sk_pacing_rate;
	s->max_pacing_rate = sk->sk_max_pacing_rate;
	s->sacked_out = tp->sacked_out;
	s->lost_out = tp->lost_out;
	s->retrans_out = tp->retrans_out;
	s->snd_cwnd = tp->snd_cwnd;
	s->mss = tp->mss_cache;
	s->wmem_alloc = sk->sk_wmem_alloc.refs.counter;
	s->nospace = !!(FOLLOW(typed, sk, sk_socket, flags) & SOCK_NOSPACE);
	s->paced = !!sk->sk_pacing_status;
	s->wstamp_ns = tp->tcp_wstamp_ns;
	s->chrono_type = BPF_CORE_READ_BITFIELD(tp, chrono_type);
	s->max_window = tp->max_window;
	s->snd_cwnd_clamp = tp->snd_cwnd_clamp;
	s->snd_ssthresh = tp->snd_ssthresh;
	s->busy = 0;
	s->bbr_mode = 0;
	s->bbr_lt_bw = 0;
	s->bbr_full_bw = 0;
	if (l->bbr)
		limits_load_bbr(s, icsk);
}

/* The interval until now. */
static __always_inline void limits_until_now(struct tcc_limits *l, struct limits_sock *s, struct sock *sk, struct tcp_sock *tp, bool rto,
					     const bool typed)
{
	__u32 jiffy_ns = 0;

	limits_load(s, l, sk, tp, typed);
	if (!cfg.sees_writes || l->held) {
		s->busy = limits_busy(tp);
		jiffy_ns = 1000000000U / cfg.hz;
	}
	limits_advance(l, s, rto, jiffy_ns);
}

/* The account of a connection begins: with its first event, or where it was open before. */
static __always_inline struct tcc_limits *limits_begin(__u64 key, struct tcp_sock *tp, bool closing, bool direct)
{
	struct tcc_limits *l;

	entry_replace(limits_conns, &key, (const void *)&no_limits);
	l = bpf_map_lookup_elem(&limits_conns, &key);
	if (!l)
		return NULL;
	l->begin_ns = bpf_ktime_get_ns();
	l->t0_ns = l->begin_ns;
	l->snd_una = direct ? tp->snd_una : BPF_CORE_READ(tp, snd_una);
	if (closing)
		l->held = TCC_CAUSE_UNDECIDED + 1;
	return l;
}

#endif
