/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Listening sockets and what they drop. tcp_listendrop() has no tracepoint, and the SYN that it drops is consumed like any
 * other; so the socket's own counter (sk_drops) is read: at each snapshot by the iterator over open files, which unlike that
 * over TCP sockets sees all network namespaces and knows the owner, and a last time when it stops listening.
 */
#ifndef __TCC_LISTEN_DROP_BPF_H__
#define __TCC_LISTEN_DROP_BPF_H__

#include "kernel.h"
#include "event.h"
#include "lifecycle.h"
#include "maps.bpf.h"
#include "sock.bpf.h"
#include "entries.bpf.h"
#include "conn.bpf.h"
#include "filter.bpf.h"
#include "owner.bpf.h"
#include "events/socket.bpf.h"
#include "events/accept.bpf.h"

/* A listening socket at its last snapshot. */
struct listen_state {
	__u64 snapshot_ns;
	__u64 session; /* of the iterator */
	__u32 total_drops;
	__u32 owner_seen; /* the owner was among its holders in that session */
};

/*
 * Key: the socket's address. Inserted by listen() and by the first snapshot that finds it, updated by the others, removed
 * when it stops listening.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, __u64);
	__type(value, struct listen_state);
} listen_states SEC(".maps");

struct listen_growth {
	__u64 interval_ns;
	__u32 drops;
};

/* What it has dropped since its last snapshot, of which this is the next. At the first one it is not known. */
static __always_inline struct listen_growth listen_snapshot(struct sock *sk)
{
	struct listen_state now = { .snapshot_ns = bpf_ktime_get_ns() };
	struct listen_growth growth = {};
	struct listen_state *last;
	__u64 key = (__u64)sk;

	now.total_drops = BPF_CORE_READ(sk, sk_drops.counter);
	last = bpf_map_lookup_elem(&listen_states, &key);
	if (!last) {
		entry_insert(listen_states, &key, &now);
		return growth;
	}
	growth.interval_ns = now.snapshot_ns - last->snapshot_ns;
	growth.drops = now.total_drops - last->total_drops;
	last->snapshot_ns = now.snapshot_ns;
	last->total_drops = now.total_drops;
	return growth;
}

/*
 * Who called listen() may hand the socket to a child and exit (a daemon, the master of workers): where the owner was not among
 * its holders in the last session, whoever is found first now is the owner.
 */
static __always_inline void listener_owner(struct sock *sk, struct conn *conn, struct task_struct *task, __u64 session)
{
	__u64 key = (__u64)sk;
	struct listen_state *state = bpf_map_lookup_elem(&listen_states, &key);
	struct listener_key where = listener_key(sk);
	bool gone = false;

	if (state && state->session != session) {
		gone = state->session && !state->owner_seen;
		state->session = session;
		state->owner_seen = 0;
	}
	if (gone || !owner_known(conn)) {
		conn_set_owner(conn, task);
		if (gone)
			entry_delete(listeners, &where);
		listener_add(sk, conn);
	}
	if (state && conn->tgid == (__u32)BPF_CORE_READ(task, tgid))
		state->owner_seen = 1;
}

/*
 * When it last sent a SYN cookie (tcp_synq_overflow()): the kernel writes it down once a second, for all sockets of a
 * SO_REUSEPORT group in one place.
 */
static __always_inline __u64 syncookie_us(struct sock *sk, struct tcp_sock *tp)
{
	__u32 stamp = tp->rx_opt.ts_recent_stamp;

	if (sk->sk_reuseport_cb)
		stamp = BPF_CORE_READ(sk, sk_reuseport_cb, synq_overflow_ts);
	return stamp ? jiffies_us((__u32)bpf_jiffies64() - stamp) : TCC_UNKNOWN_NS;
}

/* `sk` and `tp` are copies of `real`. */
static __always_inline void load_listener(struct tcc_listen_drop *out, struct sock *real, struct sock *sk,
					  struct tcp_sock *tp, const struct listen_growth *growth, bool closed)
{
	struct inet_connection_sock *icsk = (void *)tp;

	out->sk = (__u64)real;
	out->interval_ns = growth->interval_ns;
	out->syncookie_us = syncookie_us(sk, tp);
	out->drops = growth->drops;
	out->total_drops = sk->sk_drops.counter;
	out->backlog = sk->sk_ack_backlog;
	out->max_backlog = sk->sk_max_ack_backlog;
	out->syn_backlog = icsk->icsk_accept_queue.qlen.counter;
	out->closed = closed;
	__builtin_memset(out->unused, 0, sizeof(out->unused));
}

static __always_inline int listen_event(void *ctx, struct sock *sk, const struct listen_growth *growth, bool closed,
					const bool typed)
{
	struct tcc_listen_drop *rec;
	struct event e;

	rec = event_begin(&e, sk, TCC_EVENT_LISTEN_DROP, sizeof(*rec), typed);
	if (!rec)
		return 0;
	load_listener(rec, sk, e.sk, e.tp, growth, closed);
	return event_end(ctx, &e, rec, sizeof(*rec), TCC_EVENT_LISTEN_DROP);
}

/* What a listener hands on leaves LISTEN, too: the copy that it makes for a peer. */
static __noinline int on_listen_state(void *ctx, struct sock *sk, int oldstate, int newstate, const bool typed)
{
	struct listen_growth growth;
	__u64 key = (__u64)sk;

	if (newstate != TCP_LISTEN && (oldstate != TCP_LISTEN || newstate == TCP_SYN_RECV))
		return 0;
	growth = listen_snapshot(sk);
	if (newstate == TCP_LISTEN)
		return 0;
	entry_delete(listen_states, &key);
	if (!growth.drops && !cfg.listeners)
		return 0;
	return listen_event(ctx, sk, &growth, true, typed);
}

/* A row of the summary. Not by `copies`: see conn_snapshot_iter. */
static __always_inline int listener_row(struct bpf_iter__task_file *ctx, struct sock *real, struct conn *conn,
					const struct listen_growth *growth)
{
	__u64 size = bpf_core_type_size(struct tcp_sock);
	struct listener_copy *copy;
	struct tcp_sock *tp;
	struct sock *sk;
	__u32 zero = 0;

	copy = bpf_map_lookup_elem(&listener_copies, &zero);
	if (!copy)
		return 0;
	if (bpf_probe_read_kernel(copy->sock, size < sizeof(copy->sock) ? size : sizeof(copy->sock), real))
		return 0;
	sk = (void *)copy->sock;
	tp = (void *)copy->sock;
	load_head(&copy->row.event.head, sk, TCC_EVENT_LISTEN_DROP, sizeof(copy->row), false);
	if (!filter_head(&copy->row.event.head, zone_of(sk)) || !filter_sock(sk, tp, 0, 0, false) || !filter_owner(conn))
		return 0;
	load_owner(&copy->row.event.owner, sk, conn, 0, false);
	load_tcp_brief(&copy->row.event.tcp, tp);
	load_listener(&copy->row, real, sk, tp, growth, false);
	bpf_seq_write(ctx->meta->seq, &copy->row, sizeof(copy->row));
	return 0;
}

/* A snapshot of all listening sockets; of one that has several files the first one found has the drops. */
SEC("iter/task_file")
int listen_iter(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct sock *stream = stream_of_file(task, ctx->file);
	struct sock *sk = sock_of(stream);
	struct listen_growth growth;
	struct conn *conn = NULL;

	if (!task || !sk || BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_LISTEN)
		return 0;
	growth = listen_snapshot(sk);
	if (cfg.track_owner) {
		conn = conn_of((__u64)sk);
		if (conn)
			listener_owner(sk, conn, task, ctx->meta->session_id);
	}
	if (sk == stream)
		cookie_of_file(ctx->file);
	if (cfg.listeners)
		return listener_row(ctx, sk, conn, &growth);
	return growth.drops ? listen_event(ctx, sk, &growth, false, false) : 0;
}

#endif
