/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tcp_probe, inet_sock_set_state and tcp_destroy_sock fire in process context, too (a backlog that its owner works off,
 * connect(), close()), where a softirq can interrupt the program with a run of its own. From 6.1 (05b24ff9b2cf) the kernel
 * skips a program that is at work on that CPU already. So a second one is attached behind each, and takes what the first was
 * skipped for: runs that it has not left a mark of. The first leaves it before all else, the second takes it away. A softirq
 * that comes between the two programs, with a run for the same slot, would have an event taken twice: that is one of some ten
 * million where all CPUs are busy.
 */
#ifndef __TCC_MARKS_BPF_H__
#define __TCC_MARKS_BPF_H__

#include "kernel.h"
#include "config.h"
#include "emit.bpf.h"

/* The barrier keeps the limit where the verifier sees it. */
static __always_inline struct tcc_mark *mark_at(struct tcc_marks *marks, __u32 slot)
{
	barrier_var(slot);
	return &marks->mark[slot % MARKS];
}

static __always_inline void mark_taken(struct tcc_marks *marks, struct tcc_mark taken)
{
	*mark_at(marks, taken.slot) = taken;
}

static __always_inline bool taken_before(struct tcc_marks *marks, struct tcc_mark taken)
{
	struct tcc_mark *mark = mark_at(marks, taken.slot);

	if (mark->key == taken.key && mark->event == taken.event) {
		mark->key = 0;
		return true;
	}
	COUNT(marks, caught);
	return false;
}

/* `slot` should differ between connections, `event` between packets; where a load is cheap. */
static __always_inline struct tcc_mark packet_mark(struct sk_buff *skb, __u32 slot, __u32 event)
{
	return (struct tcc_mark){ .key = (__u64)skb, .slot = slot, .event = event };
}

/* A typed program must not calculate with the socket's address. */
static __always_inline struct tcc_mark sock_mark(struct sock *sk, __u32 event, const bool typed)
{
	struct tcc_mark mark = { .key = (__u64)sk, .event = event };

	if (typed)
		mark.slot = sk->__sk_common.skc_dport ^ sk->__sk_common.skc_num;
	else
		mark.slot = (__u64)sk >> 6;
	return mark;
}

#endif
