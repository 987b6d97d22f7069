/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections as they are now and as they ended, for who takes differences: the sockets of all processes by the iterator
 * over open files, which unlike that over TCP sockets sees all network namespaces and knows the owner; their ends by
 * tcp_destroy_sock, after which no reading would find them.
 */
#ifndef __TCC_CONN_SNAPSHOT_BPF_H__
#define __TCC_CONN_SNAPSHOT_BPF_H__

#include "kernel.h"
#include "event.h"
#include "summary.h"
#include "maps.bpf.h"
#include "closed_maps.bpf.h"
#include "mptcp.bpf.h"
#include "sock.bpf.h"
#include "conn.bpf.h"
#include "filter.bpf.h"
#include "owner.bpf.h"
#include "limits.h"
#include "limits_maps.bpf.h"
#include "limits_copy.bpf.h"
#include "events/socket.bpf.h"

/* `tp` is a copy. */
static __always_inline void load_conn_snapshot(struct tcc_conn_snapshot *snapshot, struct sock *real, struct tcp_sock *tp, const struct conn *conn, bool closed)
{
	const struct tcp_congestion_ops *ops = ((struct inet_connection_sock *)tp)->icsk_ca_ops;

	snapshot->sk = (__u64)real;
	snapshot->born = conn && conn->born;
	snapshot->closed = closed;
	snapshot->generation = conn ? conn->generation : 0;
	__builtin_memset(snapshot->unused, 0, sizeof(snapshot->unused));
	__builtin_memset(snapshot->ca_name, 0, sizeof(snapshot->ca_name));
	bpf_core_read_str(snapshot->ca_name, sizeof(snapshot->ca_name), &ops->name);
}

/* Before the account is deleted. */
static __noinline int conn_limits_end(void *ctx, struct sock *sk, const bool typed)
{
	struct tcc_conn_limits *record;
	__u64 key = (__u64)sk;
	struct tcc_limits *l;
	struct event e;

	record = event_begin(&e, sk, TCC_EVENT_DESTROY, sizeof(*record), typed);
	if (!record)
		return 0;
	load_conn_snapshot(&record->conn, sk, e.tp, e.conn, true);
	l = bpf_map_lookup_elem(&limits_conns, &key);
	record->limits = l ? *l : *(const struct tcc_limits *)&no_limits;
	return event_end(ctx, &e, record, sizeof(*record), TCC_EVENT_DESTROY);
}

static __noinline int on_conn_snapshot_end(void *ctx, struct sock *sk, const bool typed)
{
	struct tcc_conn_snapshot *snapshot;
	struct event e;

	if (cfg.trackers & TCC_TRACK_LIMITS)
		return conn_limits_end(ctx, sk, typed);
	snapshot = event_begin(&e, sk, TCC_EVENT_DESTROY, sizeof(*snapshot), typed);
	if (!snapshot)
		return 0;
	load_conn_snapshot(snapshot, sk, e.tp, e.conn, true);
	return event_end(ctx, &e, snapshot, sizeof(*snapshot), TCC_EVENT_DESTROY);
}

/* tcp_disconnect() has ended one connection of that socket, which now begins another: its last reading is what it had. */
static __always_inline void conn_snapshot_again(void *ctx, struct sock *sk, const bool typed)
{
	__u64 key = (__u64)sk;

	struct conn *conn;

	if (!bpf_map_lookup_elem(&closed_conns, &key))
		return;
	on_conn_snapshot_end(ctx, sk, typed);
	conn = bpf_map_lookup_elem(&conns, &key);
	if (conn)
		conn->generation++;
}

/*
 * Its counters began at zero while we looked. Told by any state on the way, as a run may be skipped (see marks.bpf.h). The
 * cookie is made for those whom nobody else asks for it, not before it is the connection's own and no listener's.
 */
static __noinline int on_conn_snapshot_born(void *ctx, struct sock *sk, int oldstate, int newstate, const bool typed)
{
	struct conn *conn;

	if (oldstate == TCP_CLOSE && (newstate == TCP_SYN_SENT || newstate == TCP_LISTEN))
		conn_snapshot_again(ctx, sk, typed);
	if (newstate != TCP_ESTABLISHED && newstate != TCP_SYN_SENT && newstate != TCP_SYN_RECV)
		return 0;
	conn = conn_of((__u64)sk);
	if (conn)
		conn->born = 1;
	if (newstate == TCP_ESTABLISHED && typed && cfg.cookie_helper)
		bpf_get_socket_cookie(sk);
	return 0;
}

static __always_inline int conn_snapshot_write(struct seq_file *seq, struct task_struct *task, struct conn_snapshot_copy *copy,
				      struct sock *real)
{
	struct conn *conn = owner_found(task, real);
	struct tcc_conn_snapshot *snapshot = &copy->record.conn;
	bool limits = cfg.trackers & TCC_TRACK_LIMITS;
	struct tcp_sock *tp = (void *)copy->sock;
	struct sock *sk = (void *)copy->sock;
	const struct closed_conn *closed;
	__u64 size = bpf_core_type_size(struct tcp_sock);
	struct tcc_limits *l;

	if (!conn || BPF_CORE_READ(real, __sk_common.skc_state) == TCP_LISTEN)
		return 0;
	if (limits) {
		/* Before the socket: an event in between makes the socket's state newer, and its interval longer than it was. */
		l = limits_found(real);
		copy->record.limits = l ? *l : *(const struct tcc_limits *)&no_limits;
	}
	if (bpf_probe_read_kernel(copy->sock, size < sizeof(copy->sock) ? size : sizeof(copy->sock), real))
		return 0;
	load_head(&snapshot->event.head, sk, TCC_EVENT_DESTROY, sizeof(struct tcc_conn_snapshot), false);
	keep_port(&snapshot->event.head, tp, TCC_EVENT_DESTROY);
	/* After the copy: tcp_disconnect() changes the state before it erases anything. */
	closed = closed_of(real, TCC_EVENT_DESTROY, BPF_CORE_READ(real, __sk_common.skc_state));
	if (closed)
		load_closed_ends(&snapshot->event.head, closed);
	else if (is_wiped(sk, tp, TCC_EVENT_DESTROY))
		return 0;
	if (!filter_head(&snapshot->event.head, zone_of(sk)) || !filter_sock(sk, tp, 0, 0, false) || !filter_owner(conn))
		return 0;
	load_owner(&snapshot->event.owner, sk, conn, 0, false);
	load_tcp_brief(&snapshot->event.tcp, tp);
	if (closed)
		load_closed_tcp(&snapshot->event.tcp, closed);
	load_conn_snapshot(snapshot, real, tp, conn, false);
	if (limits)
		limits_copied(&copy->record.limits, sk, (__u64)real);
	bpf_seq_write(seq, snapshot, limits ? sizeof(copy->record) : sizeof(*snapshot));
	return 0;
}

/* Not `copies`: the iterator may lose the CPU while it has one, and slots are given back in the order of nesting. */
SEC("iter/task_file")
int conn_snapshot_iter(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct sock *stream = stream_of_file(task, ctx->file);
	struct conn_snapshot_copy *copy;
	__u32 zero = 0;
	struct sock *sk;

	copy = bpf_map_lookup_elem(&conn_snapshot_copies, &zero);
	if (!task || !stream || !copy)
		return 0;
	if (is_tcp(stream))
		cookie_of_file(ctx->file);
	sk = socket_of_turn(stream);
	return sk ? conn_snapshot_write(ctx->meta->seq, task, copy, sk) : 0;
}

#endif
