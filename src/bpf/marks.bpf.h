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

static __always_inline void mark_taken(struct tcc_marks *marks, struct tcc_mark taken)
{
#pragma unroll
	for (int i = 0; i < TCC_MARKS; i++) {
		if (!marks->mark[i].key) {
			marks->mark[i] = taken;
			return;
		}
	}
	/* Each is of a run whose second program was skipped, as it had been interrupted itself. */
	__builtin_memset(marks->mark, 0, sizeof(marks->mark));
	marks->mark[0] = taken;
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
	marks->taking = 1;
	bpf_tail_call(ctx, first, 0);
	marks->taking = 0;
}

/*
 * The first program's run begins. True: in the second one's place.
 *
 * The tail call here is never made, as `taking` is 0 or 1. From 6.13 (e00931c02568) the kernel gives a program a stack of its own on
 * each CPU, and relies on skipping nested runs; but not a program with a tail call.
 */
static __always_inline bool run_begins(void *ctx, struct tcc_marks *marks, struct tcc_mark mark, void *first)
{
	__u64 taking;

	if (!marks->taking)
		mark_taken(marks, mark);
	/* Read again: a value that the verifier knows, it would follow through all handlers. */
	barrier();
	taking = marks->taking;
	marks->taking = 0;
	if (taking > 1)
		bpf_tail_call(ctx, first, 0);
	return taking & 1;
}

#endif
