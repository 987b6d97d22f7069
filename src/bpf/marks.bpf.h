/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tcp_probe, inet_sock_set_state and tcp_destroy_sock fire in process context, too (a backlog that its owner works off,
 * connect(), close()), where a softirq can interrupt the program with a run of its own. From 6.1 (05b24ff9b2cf) the kernel
 * skips a program that is at work on that CPU already. So a second one is attached behind each, and takes what the first was
 * skipped for: runs that it has not left a mark of. The first leaves it before all else, the second takes it away. What
 * interrupts between the two leaves and takes marks of its own meanwhile.
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
	COUNT(marks, caught);
	return false;
}

#endif
