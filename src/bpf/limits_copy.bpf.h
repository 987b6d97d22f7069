/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Copies of accounts for iterators, which do not hold the socket's lock. */
#ifndef __TCC_LIMITS_COPY_BPF_H__
#define __TCC_LIMITS_COPY_BPF_H__

#include "kernel.h"
#include "config.h"
#include "limits.h"
#include "limits_rules.h"
#include "limits_maps.bpf.h"
#include "limits.bpf.h"
#include "maps.bpf.h"
#include "compat.bpf.h"

/* The account of a socket; one that is not known begins now. */
static __always_inline struct tcc_limits *limits_found(struct sock *real)
{
	__u64 key = (__u64)real;
	struct tcc_limits *l = bpf_map_lookup_elem(&limits_conns, &key);

	if (l)
		return l;
	limits_unknown(real);
	return bpf_map_lookup_elem(&limits_conns, &key);
}

/* Nothing has come for that long: the retransmission timer is running out, and will not fire before the reader wants to know. */
static __always_inline bool limits_is_silent(const struct tcc_limits *l, const struct limits_sock *s, __u64 cause)
{
	__u64 ns = s->now_ns - l->t0_ns;

	return s->packets_out && cause != TCC_CAUSE_ZERO_WINDOW && ns > s->srtt_us * 1000ULL + 200000000;
}

/* Brings a copy up to now. Time that has been reported keeps its cause, and goes on with it. */
static __always_inline __u64 limits_copy_until_now(struct tcc_limits *l, struct limits_sock *s, __u32 jiffy_ns)
{
	__u64 t0_ns = l->t0_ns, cause;

	limits_cut(l, s->now_ns);
	if (l->t0_ns != t0_ns)
		cause = l->cause;
	else if (l->held && (s->packets_out || s->write_seq != s->snd_nxt))
		cause = l->held - 1;
	else
		cause = limits_classify(l, s, false);
	if (limits_is_silent(l, s, cause))
		cause = TCC_CAUSE_RTO;
	limits_account(l, s, cause, jiffy_ns);
	return cause;
}

/* Brings the copy of an account up to now, by a copy of the socket. What the reader gets to see stays so: see `cut`. */
static __noinline int limits_copied(struct tcc_limits *l, struct sock *sk, __u64 real)
{
	struct tcp_sock *tp = (void *)sk;
	struct tcc_limits *account;
	__u32 jiffy_ns = 0;
	__u64 cause;
	struct limits_sock s;

	if (l->ended || limits_state_in(LIMITS_OVER, sk->__sk_common.skc_state))
		return 0;
	limits_load(&s, l, sk, tp, false);
	if (s.now_ns < l->t0_ns)
		return 0;
	if (!cfg.sees_writes || l->held) {
		s.busy = limits_busy(tp);
		jiffy_ns = 1000000000U / cfg.hz;
	}
	cause = unknown(limits_copy_until_now(l, &s, jiffy_ns));
	account = bpf_map_lookup_elem(&limits_conns, &real);
	if (account && cause < TCC_CAUSES)
		account->cut = s.now_ns << TCC_CUT_BITS | cause;
	return 0;
}

#endif
