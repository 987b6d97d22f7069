/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The accounts of `limits` as they are now and as they ended: those of the sockets of all processes by the iterator over open files,
 * their ends by tcp_destroy_sock.
 *
 * The iterator does not hold the socket's lock, so it works on copies. It writes to the account only up to when it has reported its time, and
 * of what cause: one word, which the next event takes over.
 */
#ifndef __TCC_LIMITS_SNAPSHOT_BPF_H__
#define __TCC_LIMITS_SNAPSHOT_BPF_H__

#include "kernel.h"
#include "event.h"
#include "limits.h"
#include "limits_rules.h"
#include "limits_maps.bpf.h"
#include "limits.bpf.h"
#include "limits_copy.bpf.h"
#include "maps.bpf.h"
#include "fields.bpf.h"
#include "sock.bpf.h"
#include "conn.bpf.h"
#include "filter.bpf.h"
#include "owner.bpf.h"
#include "events/socket.bpf.h"

/* What explains the account; `sk` and `tp` are copies. */
static __always_inline void limits_load_snapshot(struct tcc_limits_snapshot *out, __u64 real, struct sock *sk, struct tcp_sock *tp, bool closed)
{
	const struct tcp_congestion_ops *ops = ((struct inet_connection_sock *)tp)->icsk_ca_ops;
	struct tcc_probe_chrono chrono;

	load_chrono(&chrono, tp, bpf_jiffies64());
	out->sk = real;
	out->pacing_rate = sk->sk_pacing_rate;
	out->max_pacing_rate = sk->sk_max_pacing_rate;
	out->mss = tp->mss_cache;
	out->min_rtt_us = tp->rtt_min.s[0].v;
	out->max_window = tp->max_window;
	out->sndbuf = sk->sk_sndbuf;
	out->busy_us = chrono.busy_us;
	out->rwnd_limited_us = chrono.rwnd_limited_us;
	out->sndbuf_limited_us = chrono.sndbuf_limited_us;
	out->snd_wscale = BPF_CORE_READ_BITFIELD(tp, rx_opt.wscale_ok) ? BPF_CORE_READ_BITFIELD(tp, rx_opt.snd_wscale) : 255;
	out->closed = closed;
	__builtin_memset(out->unused, 0, sizeof(out->unused));
	__builtin_memset(out->ca_name, 0, sizeof(out->ca_name));
	bpf_core_read_str(out->ca_name, sizeof(out->ca_name), &ops->name);
}

/* The connection's last. */
static __noinline int limits_last(void *ctx, struct sock *sk, const bool typed)
{
	struct tcc_limits_snapshot *snapshot;
	__u64 key = (__u64)sk;
	struct tcc_limits *l;
	struct event e;

	snapshot = event_begin(&e, sk, TCC_EVENT_DESTROY, sizeof(*snapshot), typed);
	if (!snapshot)
		return 0;
	limits_load_snapshot(snapshot, key, e.sk, e.tp, true);
	l = bpf_map_lookup_elem(&limits_conns, &key);
	snapshot->limits = l ? *l : *(const struct tcc_limits *)&no_limits;
	return event_end(ctx, &e, snapshot, sizeof(*snapshot), TCC_EVENT_DESTROY);
}

/* tcp_disconnect() has ended one connection of that socket, which now begins another. Before on_limits_state(). */
static __noinline int on_limits_again(void *ctx, struct sock *sk, int oldstate, int newstate, const bool typed)
{
	__u64 key = (__u64)sk;

	if (oldstate == TCP_CLOSE && newstate == TCP_SYN_SENT && bpf_map_lookup_elem(&limits_conns, &key))
		limits_last(ctx, sk, typed);
	return 0;
}

static __always_inline int limits_write(struct seq_file *seq, struct task_struct *task, struct limits_copy *copy, struct sock *real)
{
	struct conn *conn = owner_found(task, real);
	struct sock *sk = (void *)copy->sock;
	struct tcp_sock *tp = (void *)copy->sock;
	struct tcc_event *event = &copy->snapshot.event;
	__u64 size = bpf_core_type_size(struct tcp_sock), key = (__u64)real;
	struct tcc_limits *l;

	if (!conn || BPF_CORE_READ(real, __sk_common.skc_state) == TCP_LISTEN)
		return 0;
	l = limits_found(real);
	if (!l)
		return 0;
	/* The account first: an event in between makes the socket's state newer, and its interval longer than it was. */
	copy->snapshot.limits = *l;
	if (bpf_probe_read_kernel(copy->sock, size < sizeof(copy->sock) ? size : sizeof(copy->sock), real))
		return 0;
	load_head(&event->head, sk, TCC_EVENT_DESTROY, sizeof(struct tcc_limits_snapshot), false);
	keep_port(&event->head, tp, TCC_EVENT_DESTROY);
	if (is_wiped(sk, tp, TCC_EVENT_DESTROY))
		return 0;
	if (!filter_head(&event->head, zone_of(sk)) || !filter_sock(sk, tp, 0, 0, false) || !filter_owner(conn))
		return 0;
	load_owner(&event->owner, sk, conn, 0, false);
	load_tcp_brief(&event->tcp, tp);
	limits_load_snapshot(&copy->snapshot, key, sk, tp, false);
	limits_copied(&copy->snapshot.limits, sk, key);
	bpf_seq_write(seq, &copy->snapshot, sizeof(copy->snapshot));
	return 0;
}

SEC("iter/task_file")
int limits_iter(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct sock *stream = stream_of_file(task, ctx->file);
	struct limits_copy *copy;
	__u32 zero = 0;
	struct sock *sk;

	copy = bpf_map_lookup_elem(&limits_copies, &zero);
	if (!task || !stream || !copy)
		return 0;
	if (is_tcp(stream))
		cookie_of_file(ctx->file);
	sk = socket_of_turn(stream);
	return sk ? limits_write(ctx->meta->seq, task, copy, sk) : 0;
}

#endif
