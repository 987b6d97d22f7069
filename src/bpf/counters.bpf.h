/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* This CPU's counters, and when the reader is woken. */
#ifndef __TCC_COUNTERS_BPF_H__
#define __TCC_COUNTERS_BPF_H__

#include "kernel.h"
#include "event.h"
#include "config.h"
#include "maps.bpf.h"

/*
 * A counter of this CPU's: an atomic add, because a nested run on the same CPU (see `scratch`) would otherwise fall
 * between load and store. Its result is not used: fetching atomics exist from 5.12 only.
 */
#define COUNT(counters, field) __sync_fetch_and_add(&(counters)->field, 1)
/* The same where only this program counts there. */
#define COUNT_ALONE(counters, field)              \
	({                                        \
		if (cfg.skips_nested)             \
			(counters)->field += 1;   \
		else                              \
			COUNT(counters, field);   \
	})

static __always_inline struct tcc_cpu *this_cpu(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&cpus, &zero);
}

static __always_inline struct tcc_counters *counters_of(__u32 event_type)
{
	struct tcc_cpu *cpu = this_cpu();

	return cpu && event_type < TCC_EVENT_MAX ? &cpu->counters[event_type] : NULL;
}

/*
 * Waking the reader costs more than the rest of an event, so it is done once per sleep: for the first record when it
 * sleeps without a timer, for a filling buffer when it naps with one, never while it is awake. Looking at the buffer costs as
 * well, so a large one is looked at every few records.
 */
static __always_inline __u64 wake_flags(__u64 submitted)
{
	enum tcc_sleep sleep = reader.sleep;

	if (sleep == TCC_AWAKE)
		return BPF_RB_NO_WAKEUP;
	if (sleep == TCC_NAP && (submitted & cfg.wake_mask ||
				 bpf_ringbuf_query(&events_ring, BPF_RB_AVAIL_DATA) < cfg.wake_bytes))
		return BPF_RB_NO_WAKEUP;
	reader.sleep = TCC_AWAKE;
	return BPF_RB_FORCE_WAKEUP;
}

#endif
