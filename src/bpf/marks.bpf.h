/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tcp_probe, inet_sock_set_state and tcp_destroy_sock fire in process context, too (a backlog that its owner works off,
 * connect(), close()), where a softirq can interrupt the program with a run of its own. From 6.1 (05b24ff9b2cf) the kernel
 * skips a program that is at work on that CPU already. So a second one is attached behind each, and takes what the first was
 * skipped for: runs that it has not left a mark of.
 *
 * What comes between the two programs of a run must not take its mark away. A process owns the socket meanwhile (lock_sock()),
 * and may be interrupted, and from 7.0 also preempted and moved to another CPU: the mark is kept by thread. Otherwise the socket
 * is locked by a spinlock: nothing else fires on this CPU before the second program has run, so one place is enough.
 *
 * The second has no handlers: it calls the first by a tail call, which the kernel does not skip.
 */
#ifndef __TCC_MARKS_BPF_H__
#define __TCC_MARKS_BPF_H__

#include "kernel.h"
#include "config.h"
#include "conn.bpf.h"
#include "emit.bpf.h"

/*
 * By thread, which is in one run of a tracepoint at a time. Nobody says when one ends, so the one that was not seen for longest
 * goes. Not task storage: 7.2 cannot allocate it on a processor without CMPXCHG16B.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, __u32);
	__type(value, struct tcc_task_marks);
} task_marks SEC(".maps");

static const struct tcc_task_marks no_marks = {};

/* Where the mark of a run on that socket is; with `adds`, made if there is none yet. */
static __always_inline struct tcc_mark *mark_place(struct tcc_marks *marks, enum tcc_hook hook, struct sock *sk,
						   const bool adds, const bool typed)
{
	struct tcc_task_marks *own;
	__u32 thread;

	if (!held_by_process(sk, typed))
		return &marks->in_softirq;
	thread = bpf_get_current_pid_tgid();
	own = bpf_map_lookup_elem(&task_marks, &thread);
	if (!own && adds) {
		bpf_map_update_elem(&task_marks, &thread, &no_marks, BPF_NOEXIST);
		own = bpf_map_lookup_elem(&task_marks, &thread);
	}
	if (!own)
		return NULL;
	/* The compiler would add first and test then, which the verifier refuses. */
	barrier_var(own);
	return &own->mark[hook];
}

/* By the first program. A run that it can leave no mark of is left to the second. */
static __always_inline bool leave_mark(struct tcc_marks *marks, enum tcc_hook hook, struct sock *sk, struct tcc_mark mark,
				       const bool typed)
{
	struct tcc_mark *place = mark_place(marks, hook, sk, true, typed);

	if (!place) {
		COUNT(marks, left);
		return false;
	}
	/* Of a run whose second program was skipped. A later one that resembles it may be one that the first is skipped for. */
	marks->in_softirq.key = 0;
	*place = mark;
	return true;
}

static __always_inline bool take_mark(struct tcc_marks *marks, enum tcc_hook hook, struct sock *sk, struct tcc_mark mark,
				      const bool typed)
{
	struct tcc_mark *place = mark_place(marks, hook, sk, false, typed);

	if (!place || place->key != mark.key || place->event != mark.event)
		return false;
	place->key = 0;
	return true;
}

/* The first program of a tracepoint, in its only slot; filled by the reader. */
#define FIRST_PROGRAM(name)                           \
	struct {                                      \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY); \
		__uint(max_entries, 1);               \
		__uint(key_size, sizeof(__u32));      \
		__uint(value_size, sizeof(__u32));    \
	} name SEC(".maps")

/* By the second program: calls the first, which was skipped. */
static __always_inline void run_skipped(void *ctx, struct tcc_marks *marks, struct tcc_mark mark, void *first)
{
	COUNT(marks, caught);
	marks->taking = mark.key;
	bpf_tail_call(ctx, first, 0);
	marks->taking = 0;
}

/*
 * Whether the first program runs in the second one's place: between the two, others may run.
 *
 * The tail call here is never made, as no key is 1. From 6.13 (e00931c02568) the kernel gives a program a stack of its own on
 * each CPU, and relies on skipping nested runs; but not a program with a tail call. It may not stand where preemption is off.
 */
static __always_inline bool is_called(void *ctx, struct tcc_marks *marks, struct tcc_mark mark, void *first)
{
	bool called;

	if (marks->taking == 1)
		bpf_tail_call(ctx, first, 0);
	called = marks->taking == mark.key;
	if (called)
		marks->taking = 0;
	return called;
}

#endif
