/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An MPTCP connection is a socket of its own, which a process holds, and one TCP socket for each subflow, which all our
 * events are of. A subflow has no file; its context leads to the connection, and the connection's list to all subflows.
 */
#ifndef __TCC_MPTCP_BPF_H__
#define __TCC_MPTCP_BPF_H__

#include "kernel.h"

/* An endpoint has up to 8 (MPTCP_PM_ADDR_MAX) beside the first. */
#define MAX_SUBFLOWS 9

/* False also where the kernel has no MPTCP. */
static __always_inline bool is_mptcp(struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	return bpf_core_type_exists(struct mptcp_sock) && (family == AF_INET || family == AF_INET6) &&
	       BPF_CORE_READ_BITFIELD_PROBED(sk, sk_protocol) == IPPROTO_MPTCP;
}

/* NULL: it is no subflow. `tp` is what may be loaded from, as in sock.bpf.h. */
static __always_inline struct mptcp_subflow_context *subflow_of(struct tcp_sock *tp)
{
	if (!bpf_core_field_exists(tp->is_mptcp) || !tp->is_mptcp)
		return NULL;
	return ((struct inet_connection_sock *)tp)->icsk_ulp_data;
}

/* The same of the kernel's own, in a program where the verifier does not know it. */
static __always_inline struct mptcp_subflow_context *subflow_of_real(struct sock *sk)
{
	struct tcp_sock *tp = (void *)sk;

	if (!bpf_core_field_exists(tp->is_mptcp) || !BPF_CORE_READ(tp, is_mptcp))
		return NULL;
	return BPF_CORE_READ((struct inet_connection_sock *)tp, icsk_ulp_data);
}

/* As ss -M prints it. 0: no subflow, or a listener's. Before it is connected a subflow has none of its own. */
static __always_inline __u32 mptcp_token(struct tcp_sock *tp)
{
	struct mptcp_subflow_context *subflow = subflow_of(tp);
	struct mptcp_sock *conn;
	__u32 token;

	if (!subflow)
		return 0;
	token = BPF_CORE_READ(subflow, token);
	if (token)
		return token;
	conn = (void *)BPF_CORE_READ(subflow, conn);
	return BPF_CORE_READ(conn, token);
}

/* The first subflow of the connection, which may be the same one; NULL: it is no subflow. */
static __always_inline struct sock *first_subflow(struct mptcp_subflow_context *subflow)
{
	struct mptcp_sock *conn;

	if (!subflow)
		return NULL;
	conn = (void *)BPF_CORE_READ(subflow, conn);
	return BPF_CORE_READ(conn, first);
}

/* The TCP sockets behind a process's: its own, or the subflows of an MPTCP connection, one after the other. */
struct sockets {
	struct sock *sk; /* NULL: no more */
	struct list_head *node; /* of the subflow's context; NULL: it is the process's own */
	struct list_head *head;
};

static __always_inline struct mptcp_subflow_context *subflow_at(struct list_head *node)
{
	return (void *)node - bpf_core_field_offset(struct mptcp_subflow_context, node);
}

static __always_inline void sockets_next(struct sockets *all)
{
	struct list_head *node = all->node;

	all->sk = NULL;
	if (!node)
		return;
	node = BPF_CORE_READ(node, next);
	all->node = node;
	if (node && node != all->head)
		all->sk = BPF_CORE_READ(subflow_at(node), tcp_sock);
}

/* `sk` is of TCP or MPTCP. */
static __always_inline struct sockets sockets_of(struct sock *sk)
{
	struct sockets all = { .sk = sk };

	if (is_mptcp(sk)) {
		all.head = (void *)sk + bpf_core_field_offset(struct mptcp_sock, conn_list);
		all.node = all.head;
		sockets_next(&all);
	}
	return all;
}

/* Of a scan of all sockets: see socket_of_turn(). */
enum {
	SCAN_TURN, /* which of the sockets of a connection; written by the reader */
	SCAN_MORE, /* a connection has more than that */
	SCAN_VALUES,
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SCAN_VALUES);
	__type(key, __u32);
	__type(value, __u32);
} scans SEC(".maps");

/*
 * One of the sockets behind a process's; NULL: it has no more. The reader repeats a scan where a connection has several, since the
 * verifier goes through a loop as often as it may run, and so would through all that is done with a socket.
 */
static __always_inline struct sock *socket_of_turn(struct sock *stream)
{
	__u32 turn = SCAN_TURN, more = SCAN_MORE, *value;
	struct sockets all = sockets_of(stream);
	struct sock *sk;

	value = bpf_map_lookup_elem(&scans, &turn);
	if (!value)
		return NULL;
	/* The verifier must see that nothing of MPTCP is reached. */
	if (!bpf_core_type_exists(struct mptcp_sock))
		return stream;
	turn = *value;
	for (__u32 i = 0; i < MAX_SUBFLOWS && i < turn && all.sk; i++)
		sockets_next(&all);
	sk = all.sk;
	sockets_next(&all);
	value = bpf_map_lookup_elem(&scans, &more);
	if (value && all.sk)
		*value = 1;
	return sk;
}

#endif
