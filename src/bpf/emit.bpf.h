/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Submit records and update counters. */
#ifndef __TCC_EMIT_BPF_H__
#define __TCC_EMIT_BPF_H__

/*
 * A counter of this CPU's: an atomic add, because a nested run on the same CPU (see `scratch`) would otherwise fall
 * between load and store. Its result is not used: fetching atomics exist from 5.12 only.
 */
#define COUNT(counters, field) __sync_fetch_and_add(&(counters)->field, 1)

static __always_inline struct tcc_counters *counters_of(__u32 event_type)
{
	return bpf_map_lookup_elem(&counters, &event_type);
}

/* A free slot of a per-CPU map, by the depth of nesting; NULL where it is deeper than anybody thought. */
static __always_inline void *slot_claim(void *slots, void *depths)
{
	__u32 zero = 0, slot;
	__u32 *depth = bpf_map_lookup_elem(depths, &zero);

	if (!depth || *depth >= SCRATCH_DEPTH)
		return NULL;
	slot = *depth;
	*depth = slot + 1;
	return bpf_map_lookup_elem(slots, &slot);
}

static __always_inline void slot_release(void *depths)
{
	__u32 zero = 0;
	__u32 *depth = bpf_map_lookup_elem(depths, &zero);

	if (depth && *depth)
		*depth -= 1;
}

static __always_inline struct copies *copies_claim(void)
{
	return slot_claim(&copies, &copies_depth);
}

static __always_inline void copies_release(void)
{
	slot_release(&copies_depth);
}

/* `size` must be a constant where this is inlined. */
static __always_inline void *emit_begin(__u64 size)
{
	if (cfg.ringbuf)
		return bpf_ringbuf_reserve(&events_ring, size, 0);
	return slot_claim(&scratch, &scratch_depth);
}

/*
 * Waking the reader costs more than the rest of an event, so it is done once per sleep: for the first record when it
 * sleeps without a timer, for a filling buffer when it naps with one, never while it is awake.
 */
static __always_inline __u64 wake_flags(void)
{
	__u32 zero = 0;
	enum tcc_sleep *sleep = bpf_map_lookup_elem(&reader_sleep, &zero);

	if (!sleep || *sleep == TCC_AWAKE)
		return BPF_RB_NO_WAKEUP;
	if (*sleep == TCC_NAP && bpf_ringbuf_query(&events_ring, BPF_RB_AVAIL_DATA) < cfg.wake_bytes)
		return BPF_RB_NO_WAKEUP;
	*sleep = TCC_AWAKE;
	return BPF_RB_FORCE_WAKEUP;
}

static __always_inline void emit_end(void *ctx, struct tcc_counters *n, void *rec, __u64 size)
{
	long err = 0;

	if (cfg.ringbuf) {
		bpf_ringbuf_submit(rec, wake_flags());
	} else {
		err = bpf_perf_event_output(ctx, &events_perf, BPF_F_CURRENT_CPU, rec, size);
		slot_release(&scratch_depth);
	}
	if (err)
		COUNT(n, lost);
	else
		COUNT(n, submitted);
}

/* Gives a record back that is not sent on. */
static __always_inline void emit_discard(void *rec)
{
	if (cfg.ringbuf)
		bpf_ringbuf_discard(rec, BPF_RB_NO_WAKEUP);
	else
		slot_release(&scratch_depth);
}

#endif
