/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of connections that are over, a part of maps.bpf.h. */
#ifndef __TCC_CLOSED_MAPS_BPF_H__
#define __TCC_CLOSED_MAPS_BPF_H__

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

#endif
