/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of connections that are over. */
#ifndef __TCC_CLOSED_MAPS_BPF_H__
#define __TCC_CLOSED_MAPS_BPF_H__

#include "kernel.h"
#include "event.h"
#include "lifecycle.h"
#include "maps.bpf.h"

/* What a connection had when it changed to CLOSE: tcp_disconnect() then erases it from the socket. */
struct closed_conn {
	struct tcc_tcp tcp;
	struct tcc_totals totals;
	__u8 saddr[16];
	__u8 daddr[16];
	__u16 sport;
	__u16 dport;
	__u32 unused;
};

/*
 * Key: the socket's address. Inserted by the change to CLOSE where somebody still holds the socket, removed when it is used
 * again and by tcp_destroy_sock.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, __u64);
	__type(value, struct closed_conn);
} closed_conns SEC(".maps");

/*
 * What was last removed from `conns` on this CPU: where data comes for a connection that its process has closed, the kernel first
 * destroys the socket and then answers with a RST.
 */
struct gone_conn {
	__u64 sk; /* 0: nothing was known of it */
	struct conn conn;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gone_conn);
} gone_conns SEC(".maps");

#endif
