/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * --trigger: the newest samples of each connection are kept here, and submitted when one of its events matches the condition. From then
 * on, all its events are records for a time.
 *
 * Samples are written under the socket's lock. An event that does not hold it, such as a dropped packet, may submit them meanwhile: so there
 * is one slot more than samples that are submitted, which is the one that may be written to. Once `until_ns` is in the future, no sample is
 * kept.
 */
#ifndef __TCC_TRIGGER_BPF_H__
#define __TCC_TRIGGER_BPF_H__

#include "kernel.h"
#include "event.h"
#include "config.h"
#include "maps.bpf.h"
#include "counters.bpf.h"

/* Followed by cfg.before + 1 slots for records of `probe`, a ring. */
struct trigger_conn {
	__u64 until_ns; /* its events are records until then */
	__u64 count; /* samples that were kept since the last were submitted */
};

/*
 * Key: the cookie. Inserted by a connection's first sample, or its first event that matches. LRU: of the connections that find no room,
 * those that were idle for longest have no samples from before an event.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* * */
	__uint(key_size, sizeof(__u64));
	__uint(value_size, sizeof(struct trigger_conn)); /* * */
} trigger_conns SEC(".maps");

/* The initial value of an entry, of the same size; never written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct trigger_conn)); /* * */
} trigger_empty SEC(".maps");

/* Locks, held while the samples of a connection are submitted: whoever inserts its cookie does that. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u8);
} trigger_busy SEC(".maps");

static __always_inline struct trigger_conn *trigger_conn_of(__u64 cookie)
{
	struct trigger_conn *conn = bpf_map_lookup_elem(&trigger_conns, &cookie);
	__u32 zero = 0;
	void *empty;

	if (conn || !cookie)
		return conn;
	empty = bpf_map_lookup_elem(&trigger_empty, &zero);
	if (!empty)
		return NULL;
	bpf_map_update_elem(&trigger_conns, &cookie, empty, BPF_NOEXIST);
	return bpf_map_lookup_elem(&trigger_conns, &cookie);
}

/* Where sample number `number` lies. 64 bits wide, as the verifier loses bounds where the compiler clears the upper half. */
static __always_inline void *trigger_slot(struct trigger_conn *conn, __u64 number)
{
	const __u64 slots = (__u64)cfg.before + 1;
	__u64 slot = number % slots;

	/* Compared where it is used: the verifier does not know the bounds of a remainder. */
	barrier_var(slot);
	if (slot >= slots)
		return NULL;
	return (void *)(conn + 1) + slot * cfg.probe_len;
}

static __always_inline long trigger_output(void *ctx, void *rec)
{
	const __u64 size = cfg.probe_len;

	if (cfg.ringbuf)
		return bpf_ringbuf_output(&events_ring, rec, size, wake_flags(0));
	return bpf_perf_event_output(ctx, &events_perf, BPF_F_CURRENT_CPU, rec, size);
}

/* Submits what was kept, oldest first. They were counted as unmatched. */
static __noinline int trigger_submit(void *ctx, struct trigger_conn *conn)
{
	struct tcc_counters *n = counters_of(TCC_EVENT_PROBE);
	__u64 number = conn->count;
	__u32 left = cfg.before;
	void *rec;

	if (!n)
		return 0;
	number = number > left ? number - left : 0;
	for (; left; left--) {
		rec = number < conn->count ? trigger_slot(conn, number) : NULL;
		if (!rec)
			break;
		if (trigger_output(ctx, rec))
			COUNT(n, kept_lost);
		else
			COUNT(n, kept_submitted);
		number += 1;
	}
	conn->count = 0;
	return 0;
}

/* Whether an event is a record: it matches, or one has not long before. */
static __always_inline bool trigger_wants(void *ctx, struct trigger_conn *conn, const struct tcc_head *head, bool matches)
{
	bool open = conn->until_ns > head->mono_ns;
	__u64 cookie = head->cookie;
	__u8 held = 1;

	if (!matches)
		return open;
	conn->until_ns = head->mono_ns + cfg.after_ns;
	if (!open && !bpf_map_update_elem(&trigger_busy, &cookie, &held, BPF_NOEXIST)) {
		trigger_submit(ctx, conn);
		bpf_map_delete_elem(&trigger_busy, &cookie);
	}
	return true;
}

/* The same of another event than a sample. */
static __noinline int trigger_event(void *ctx, const struct tcc_head *head, int matches)
{
	struct trigger_conn *conn = trigger_conn_of(head->cookie);

	return conn ? trigger_wants(ctx, conn, head, matches) : matches;
}

#endif
