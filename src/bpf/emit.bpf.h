/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Submit records and update counters. */
#ifndef __TCC_EMIT_BPF_H__
#define __TCC_EMIT_BPF_H__

#include "kernel.h"
#include "event.h"
#include "config.h"
#include "maps.bpf.h"
#include "counters.bpf.h"
#include "predicate.bpf.h"
#include "trigger.bpf.h"

/* Which actions that type has. */
#define COUNTS(type) (cfg.actions[TCC_EVENT_##type] & TCC_COUNT)
#define AGGREGATES(type) (cfg.actions[TCC_EVENT_##type] & TCC_AGGREGATE)
#define RECORDS(type) (cfg.actions[TCC_EVENT_##type] & TCC_RECORD)

/* A free slot of a per-CPU map, by the depth of nesting; NULL where it is deeper than anybody thought. */
static __always_inline void *slot_claim(void *slots, __u32 *depth)
{
	__u32 slot = *depth;

	if (slot >= SCRATCH_DEPTH)
		return NULL;
	*depth = slot + 1;
	return bpf_map_lookup_elem(slots, &slot);
}

static __always_inline void slot_release(__u32 *depth)
{
	if (*depth)
		*depth -= 1;
}

static __always_inline struct copies *copies_claim(void)
{
	struct tcc_cpu *cpu = this_cpu();

	return cpu ? slot_claim(&copies, &cpu->copies_depth) : NULL;
}

static __always_inline void copies_release(void)
{
	struct tcc_cpu *cpu = this_cpu();

	if (cpu)
		slot_release(&cpu->copies_depth);
}

/* Does the buffer have no room for events of that type? A type that yields leaves the last part of it to the others. */
static __always_inline bool emit_yields(__u8 event_type)
{
	return cfg.ringbuf && cfg.actions[event_type] & TCC_YIELD &&
	       bpf_ringbuf_query(&events_ring, BPF_RB_AVAIL_DATA) > cfg.yield_bytes;
}

/* `size` and `event_type` must be constants where this is inlined. */
static __always_inline void *emit_begin(__u64 size, __u8 event_type)
{
	struct tcc_cpu *cpu;

	if (emit_yields(event_type))
		return NULL;
	if (cfg.ringbuf)
		return bpf_ringbuf_reserve(&events_ring, size, 0);
	cpu = this_cpu();
	return cpu ? slot_claim(&scratch, &cpu->scratch_depth) : NULL;
}

static __always_inline void scratch_release(void)
{
	struct tcc_cpu *cpu = this_cpu();

	if (cpu)
		slot_release(&cpu->scratch_depth);
}

/* Gives a record back that is not sent on. */
static __always_inline void emit_discard(void *rec)
{
	if (cfg.ringbuf)
		bpf_ringbuf_discard(rec, BPF_RB_NO_WAKEUP);
	else
		scratch_release();
}

/* `event_type` must be a constant to the verifier. */
static __always_inline void emit_submit(void *ctx, struct tcc_counters *n, void *rec, __u64 size, __u32 event_type,
					const bool alone)
{
	bool wanted = where_holds(rec, event_type);
	long err = 0;

	if (cfg.trigger)
		wanted = trigger_event(ctx, rec, wanted);
	if (!wanted) {
		emit_discard(rec);
		COUNT(n, unmatched);
		return;
	}
	if (cfg.ringbuf) {
		bpf_ringbuf_submit(rec, wake_flags(n->submitted));
	} else {
		err = bpf_perf_event_output(ctx, &events_perf, BPF_F_CURRENT_CPU, rec, size);
		scratch_release();
	}
	if (err)
		COUNT(n, lost);
	else if (alone)
		COUNT_ALONE(n, submitted);
	else
		COUNT(n, submitted);
}

static __always_inline void emit_end(void *ctx, struct tcc_counters *n, void *rec, __u64 size, __u32 event_type)
{
	emit_submit(ctx, n, rec, size, event_type, false);
}

#endif
