/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tcp_probe, inet_sock_set_state and tcp_destroy_sock fire in process context, too (a backlog that its owner works off,
 * connect(), close()), where a softirq can interrupt the program with a run of its own. From 6.1 (05b24ff9b2cf) the kernel
 * skips a program that is at work on that CPU already. So a second one is attached behind each, and takes what the first was
 * skipped for: runs that it has not left a mark of. The first leaves it before all else, the second takes it away. What
 * interrupts between the two leaves and takes marks of its own meanwhile.
 *
 * The second has no handlers: it calls the first by a tail call, which the kernel does not skip.
 */
#ifndef __TCC_MARKS_BPF_H__
#define __TCC_MARKS_BPF_H__

#include "kernel.h"
#include "config.h"
#include "emit.bpf.h"

/*
 * Where none is free, the oldest goes: nearly all are of runs whose second program was skipped, as it had been interrupted
 * itself, and one that is still wanted is younger. A function of its own, for the sake of the stack.
 */
static __noinline void mark_taken(struct tcc_marks *marks, __u64 key, __u64 event)
{
	__u64 number = ++marks->next, oldest = ~0ULL;
	__u32 at = 0;

#pragma unroll
	for (int i = 0; i < TCC_MARKS; i++) {
		__u64 age = marks->mark[i].key ? marks->mark[i].number : 0;

		if (age < oldest) {
			oldest = age;
			at = i;
		}
	}
	at = unknown(at) & (TCC_MARKS - 1);
	/* With its key it is not free for who interrupts here. */
	marks->mark[at].number = number;
	marks->mark[at].key = key;
	barrier();
	marks->mark[at].event = event;
}

static __always_inline bool taken_before(struct tcc_marks *marks, struct tcc_mark taken)
{
#pragma unroll
	for (int i = 0; i < TCC_MARKS; i++) {
		if (marks->mark[i].key == taken.key && marks->mark[i].event == taken.event) {
			marks->mark[i].key = 0;
			return true;
		}
	}
	return false;
}

/* The first program of a tracepoint, in its only slot; filled by the reader. */
#define FIRST_PROGRAM(name)                           \
	struct {                                      \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY); \
		__uint(max_entries, 1);               \
		__uint(key_size, sizeof(__u32));      \
		__uint(value_size, sizeof(__u32));    \
	} name SEC(".maps")

/* The second program: takes the run, if the first was skipped. */
static __always_inline void run_skipped(void *ctx, struct tcc_marks *marks, struct tcc_mark mark, void *first)
{
	if (taken_before(marks, mark))
		return;
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
