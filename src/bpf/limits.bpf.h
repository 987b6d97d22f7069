/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keeps the accounts of `limits`: at each event the time since the one before gets its cause. Nothing but ACKs, writes and timers changes
 * what a sender waits for, and each of them is an event; so the state at the end of an interval is that of all of it.
 *
 *   tcp_probe            an ACK or data arrives
 *   tcp_sendmsg_locked   a process writes; only where nothing was unsent, which ends idle time or a wait for the application
 *   tcp_cong_state_set   into Loss: the retransmission timer
 *   tcp_retransmit_skb   a tail loss probe
 *   inet_sock_set_state  beginning and end
 *   net_dev_queue        a segment leaves a socket in a state in which tcp_probe is silent
 *
 * All run under the socket's lock.
 */
#ifndef __TCC_LIMITS_BPF_H__
#define __TCC_LIMITS_BPF_H__

#include "kernel.h"
#include "config.h"
#include "limits.h"
#include "limits_rules.h"
#include "limits_maps.bpf.h"
#include "maps.bpf.h"
#include "compat.bpf.h"
#include "entries.bpf.h"
#include "sock.bpf.h"
#include "packet.bpf.h"
#include "conn.bpf.h"

/* One that is not known was open before, or its entry was evicted. */
static __noinline int limits_unknown(struct sock *sk)
{
	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);

	if (!limits_state_in(LIMITS_OVER, state))
		limits_begin((__u64)sk, (void *)sk, limits_state_in(LIMITS_CLOSING, state), false);
	return 0;
}

/* `sk` is a copy. A function, as several of its size would need more stack than there is. */
static __noinline int limits_copy_event(struct tcc_limits *l, struct sock *sk, bool rto)
{
	struct limits_sock s;

	limits_until_now(l, &s, sk, (void *)sk, rto, false);
	return 0;
}

static __noinline int limits_typed(struct tcc_limits *l, struct sock *sk, struct tcp_sock *tp, bool rto)
{
	struct limits_sock s;

	limits_until_now(l, &s, sk, tp, rto, true);
	return 0;
}

/*
 * Idle time is that of rule 2, which needs few members; at the events of who receives or waits for replies, that saves the loads of all
 * others.
 */
static __always_inline bool limits_is_idle(struct tcc_limits *l, struct sock *sk, struct tcp_sock *tp)
{
	return cfg.sees_writes && !l->held && sk->__sk_common.skc_state == TCP_ESTABLISHED && !tp->packets_out &&
	       tp->write_seq == tp->snd_nxt;
}

static __noinline int limits_idle_event(struct tcc_limits *l, __u32 snd_una)
{
	struct limits_sock s = {};

	s.now_ns = bpf_ktime_get_ns();
	s.snd_una = snd_una;
	if (s.now_ns < l->t0_ns)
		return 0;
	limits_cut(l, s.now_ns);
	limits_account(l, &s, TCC_CAUSE_IDLE, 0);
	return 0;
}

static __always_inline int limits_raw(struct tcc_limits *l, struct sock *sk, bool rto)
{
	struct copies *copy = copies_claim();

	if (!copy)
		return 0;
	if (copy_sock(copy, sk))
		limits_copy_event(l, (void *)copy->sock, rto);
	copies_release();
	return 0;
}

static __noinline int limits_event(struct sock *sk, bool rto, const bool typed)
{
	__u64 key = (__u64)sk;
	struct tcc_limits *l = bpf_map_lookup_elem(&limits_conns, &key);
	struct tcp_sock *tp;

	if (!l)
		return limits_unknown(sk);
	if (l->ended)
		return 0;
	if (!typed)
		return limits_raw(l, sk, rto);
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	return limits_is_idle(l, sk, tp) ? limits_idle_event(l, tp->snd_una) : limits_typed(l, sk, tp, rto);
}

static __always_inline int on_limits_cong_state(struct sock *sk, __u8 ca_state, const bool typed)
{
	__u64 key = (__u64)sk;
	struct tcc_limits *l;

	if (ca_state != TCP_CA_LOSS && ca_state != TCP_CA_RECOVERY)
		return 0;
	if (ca_state == TCP_CA_LOSS)
		limits_event(sk, true, typed);
	l = bpf_map_lookup_elem(&limits_conns, &key);
	if (l && ca_state == TCP_CA_LOSS)
		l->rtos += 1;
	else if (l && BPF_CORE_READ_BITFIELD_PROBED((struct inet_connection_sock *)sk, icsk_ca_state) != TCP_CA_RECOVERY)
		l->recoveries += 1;
	return 0;
}

/* Of an open connection in Open or Disorder it is a tail loss probe. In Loss it counts without tcp_cong_state_set, before 5.19. */
static __always_inline int on_limits_retransmit(struct sock *sk, const bool typed)
{
	__u8 ca_state = BPF_CORE_READ_BITFIELD_PROBED((struct inet_connection_sock *)sk, icsk_ca_state);
	__u8 state = FOLLOW(typed, sk, __sk_common.skc_state);
	bool probe = ca_state == TCP_CA_OPEN || ca_state == TCP_CA_DISORDER;
	__u64 key = (__u64)sk;
	struct tcc_limits *l;

	if (state == TCP_SYN_SENT || state == TCP_SYN_RECV || (!probe && ca_state != TCP_CA_LOSS))
		return 0;
	limits_event(sk, probe, typed);
	if (!probe)
		return 0;
	l = bpf_map_lookup_elem(&limits_conns, &key);
	if (l)
		l->tlps += 1;
	return 0;
}

/* From here on net_dev_queue shows what is sent, and until it does, what was the case is. */
static __always_inline void limits_hold(struct tcc_limits *l, struct sock *sk)
{
	__u32 busy = 0;
	struct tcp_sock *tp = (void *)sk;

	if (l->held)
		return;
	l->held = l->cause + 1;
	if (!cfg.sees_writes)
		return;
	busy = BPF_CORE_READ(tp, chrono_stat[0]) + BPF_CORE_READ(tp, chrono_stat[1]) + BPF_CORE_READ(tp, chrono_stat[2]);
	if (BPF_CORE_READ_BITFIELD_PROBED(tp, chrono_type))
		busy += (__u32)bpf_jiffies64() - BPF_CORE_READ(tp, chrono_start);
	l->busy = busy;
	l->idle_ns = 0;
}

static __noinline int on_limits_state(struct sock *sk, int oldstate, int newstate, const bool typed)
{
	__u64 key = (__u64)sk;
	struct tcc_limits *l;

	if (newstate == TCP_LISTEN || (oldstate == TCP_LISTEN && newstate != TCP_SYN_RECV))
		return 0;
	if (is_first_state(oldstate, newstate)) {
		limits_begin(key, (void *)sk, false, false);
		return 0;
	}
	limits_event(sk, false, typed);
	l = bpf_map_lookup_elem(&limits_conns, &key);
	if (!l)
		return 0;
	if (limits_state_in(LIMITS_OVER, newstate))
		l->ended = 1;
	else if (limits_state_in(LIMITS_CLOSING, newstate))
		limits_hold(l, sk);
	return 0;
}

/* What the sender waits for once these segments are counted; `sk` is a copy from before that. */
static __noinline int limits_next(struct tcc_limits *l, struct sock *sk, __u32 segs, __u32 len)
{
	struct limits_sock s;

	limits_load(&s, l, sk, (void *)sk, false);
	s.packets_out += segs;
	s.snd_nxt += len;
	l->held = limits_classify(l, &s, false) + 1;
	return 0;
}

/* The connection is gone. */
static __always_inline void limits_delete(struct sock *sk)
{
	__u64 key = (__u64)sk;

	entry_delete(limits_conns, &key);
}

/* A segment is on its way. */
static __always_inline void limits_sent(struct tcc_limits *l, struct copies *copy, struct sk_buff *skb, const bool typed)
{
	unsigned char *head = FOLLOW(typed, skb, head);
	struct skb_shared_info *shared = (void *)(head + FOLLOW(typed, skb, end));
	bool inner = typed ? BPF_CORE_READ_BITFIELD(skb, encapsulation) : BPF_CORE_READ_BITFIELD_PROBED(skb, encapsulation);
	__u32 at = inner ? FOLLOW(typed, skb, inner_transport_header) : FOLLOW(typed, skb, transport_header);
	__u32 end = FOLLOW(typed, skb, data) - head + FOLLOW(typed, skb, len);
	__u16 segs = BPF_CORE_READ(shared, gso_segs);
	struct tcp_header th;
	__u32 data_len;

	if (!look_tcp(&th, &data_len, head, at, FOLLOW(typed, skb, tail), end))
		return;
	if (!data_len || bpf_ntohl(th.seq) != ((struct tcp_sock *)copy->sock)->snd_nxt)
		return;
	limits_copy_event(l, (void *)copy->sock, false);
	limits_next(l, (void *)copy->sock, segs ? segs : 1, data_len);
}

static __noinline int limits_queue(struct sock *sk, struct sk_buff *skb, const bool typed)
{
	__u64 key = (__u64)sk;
	struct tcc_limits *l = bpf_map_lookup_elem(&limits_conns, &key);
	struct copies *copy;

	if (!l || !l->held || l->ended)
		return 0;
	copy = copies_claim();
	if (!copy)
		return 0;
	if (copy_sock(copy, sk))
		limits_sent(l, copy, skb, typed);
	copies_release();
	return 0;
}

static __always_inline int on_limits_queue(struct sk_buff *skb, const bool typed)
{
	struct sock *sk = FOLLOW(typed, skb, sk);

	if (!sk || !limits_state_in(LIMITS_CLOSING, FOLLOW(typed, sk, __sk_common.skc_state)))
		return 0;
	return limits_queue(sk, skb, typed);
}

#endif
