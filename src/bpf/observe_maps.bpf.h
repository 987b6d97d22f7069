/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of `observe`; created only for it. */
#ifndef __TCC_OBSERVE_MAPS_BPF_H__
#define __TCC_OBSERVE_MAPS_BPF_H__

#include "kernel.h"
#include "observe.h"
#include "maps.bpf.h"

/*
 * A row for each key. Inserted by its first event, read by the reader at any time, and removed by it when it has been idle. Shared by
 * all CPUs, as no event of a mere packet is added up here.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, struct tcc_key);
	__type(value, struct tcc_observed);
} observed SEC(".maps");

/* What found no room there; and behind it events that add nothing to any row. */
enum {
	OBSERVED_REST,
	OBSERVED_ASIDE,
	OBSERVED_RESTS,
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OBSERVED_RESTS);
	__type(key, __u32);
	__type(value, struct tcc_observed);
} observed_rest SEC(".maps");

/* The initial value of a row: too large for the stack. */
const volatile struct tcc_observed no_observed = {};

/* Key: as above, with enum tcc_observe_reason as its value and the kernel's number as its reason. The same rules. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, struct tcc_key);
	__type(value, __u64);
} observed_reasons SEC(".maps");

/* Reasons that found no room there, by enum tcc_observe_reason. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TCC_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} observed_reasons_rest SEC(".maps");

/* A connection, and what of its counters has been added to rows. */
struct observed_conn {
	struct tcc_observe_totals base;
	__u8 active; /* it connected, and was not accepted */
	__u8 unused[7];
};

/*
 * Key: the socket's address. Inserted where a connection begins, or by observe_scan_iter where it was open before; removed by
 * tcp_destroy_sock. `base` is written by whoever has the entry of `observe_busy`. Not LRU: a connection that finds no room is counted
 * as untracked, at its end.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, __u64);
	__type(value, struct observed_conn);
} observed_conns SEC(".maps");

/*
 * Key: the socket's address. What of the connection's account has been added to rows. Written and removed by whoever has the entry of
 * `observe_busy`; created only where what limits connections is counted.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, __u64);
	__type(value, struct tcc_observe_limits);
} observed_limits SEC(".maps");

/* What of it has been added before the first time; a map's value, as those are. */
const volatile struct tcc_observe_limits no_observed_limits = {};

/* Locks of the entries above, held for microseconds: whoever inserts the socket's address has it, until that is deleted. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u8);
} observe_busy SEC(".maps");

/* What an event could not add as the iterator had the lock. Added by the iterator when it gives it back. */
struct observe_left_key {
	__u64 sk;
	__u64 ends; /* 1: by tcp_destroy_sock */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct observe_left_key);
	__type(value, struct tcc_observe_moment);
} observe_left SEC(".maps");

/* Where the iterators work; they run for one reader at a time. */
struct observe_copy {
	__u8 sock[4096];
	struct tcc_head head;
	struct tcc_observe_moment moment;
	struct tcc_limits limits;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct observe_copy);
} observe_copies SEC(".maps");

/* The connection that was last read, for --top; created only for it. Read by the reader after observe_one, and before the next. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcc_top_conn);
} observe_top SEC(".maps");

#endif
