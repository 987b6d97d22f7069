/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* State that `queue` keeps for packets on their way. */
#ifndef __TCC_QUEUE_MAPS_BPF_H__
#define __TCC_QUEUE_MAPS_BPF_H__

#include "kernel.h"

/* A packet as it was handed to the device (net_dev_queue). */
struct queued {
	__u64 sk;
	__u64 queue_ns;
	__u64 enqueue_ns; /* when the qdisc had it; 0: not seen */
	__u32 seq;
	__u32 end_seq;
	__u32 qlen; /* of the qdisc, before it */
	__u32 backlog;
	__u8 has_qlen;
	__u8 unused[7];
};

/*
 * Key: the packet's address. Inserted by net_dev_queue, removed by net_dev_start_xmit. What is dropped or cut on the way
 * stays until its memory is another packet's, or LRU throws it away.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, __u64);
	__type(value, struct queued);
} queued_packets SEC(".maps");

/*
 * Packets of several segments, which may be cut on the way into others with addresses of their own. A part is found by what it
 * carries: each entry has the last few packets that begin in a block of the connection's sequence numbers. Packets are far more
 * often queued than cut, so a packet has one entry, and a part is looked for in all blocks where its packet can begin.
 */
#define UNCUT 4
#define UNCUT_SHIFT 13
#define UNCUT_LAST_BLOCK (~0U >> UNCUT_SHIFT)

struct uncut_key {
	__u64 sk;
	__u64 block;
};

struct uncut {
	__u64 count;
	struct queued packets[UNCUT];
};

/* Inserted by net_dev_queue; LRU bounds it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, struct uncut_key);
	__type(value, struct uncut);
} uncut_packets SEC(".maps");

/* When this CPU has last taken packets out of that device queue's qdisc; by the device's number, as devices nest. */
#define DEQUEUED 8

struct dequeued {
	__u64 txq;
	__u64 ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DEQUEUED);
	__type(key, __u32);
	__type(value, struct dequeued);
} last_dequeued SEC(".maps");

#endif
