/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's CLOCK_MONOTONIC. In a time namespace the reader has another one, which /proc/self/timens_offsets need not
 * show: that file is about the process's children.
 */
#ifndef __TCC_CLOCK_BPF_H__
#define __TCC_CLOCK_BPF_H__

#include "kernel.h"
#include "maps.bpf.h"

/* Attached to nothing: the reader runs it (BPF_PROG_TEST_RUN, for raw_tp since 5.10). */
SEC("raw_tp")
int kernel_clock(void *ctx)
{
	__u32 zero = 0;
	__u64 *time = bpf_map_lookup_elem(&kernel_time, &zero);

	if (time)
		*time = bpf_ktime_get_ns();
	return 0;
}

#endif
