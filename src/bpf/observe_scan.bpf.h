/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What connections have transferred so far: observe_scan_iter finds those that are open when the trace begins, by the files of all
 * processes; observe_iter reads all that are known, of all network namespaces and also those that no process has (any more). Some
 * kernels refuse iterators over maps: there the reader runs observe_one for each.
 */
#ifndef __TCC_OBSERVE_SCAN_BPF_H__
#define __TCC_OBSERVE_SCAN_BPF_H__

#include "kernel.h"
#include "observe.h"
#include "observe_maps.bpf.h"
#include "observe.bpf.h"
#include "observe_limits.bpf.h"
#include "limits_copy.bpf.h"
#include "maps.bpf.h"
#include "mptcp.bpf.h"
#include "sock.bpf.h"
#include "conn.bpf.h"
#include "filter.bpf.h"
#include "owner.bpf.h"

static __always_inline bool observe_copy_sock(struct observe_copy *copy, struct sock *real)
{
	__u64 size = bpf_core_type_size(struct tcp_sock);

	return !bpf_probe_read_kernel(copy->sock, size < sizeof(copy->sock) ? size : sizeof(copy->sock), real);
}

static __noinline int observe_known(struct observe_copy *copy, struct sock *real)
{
	struct observed_conn conn = {};
	__u64 key = (__u64)real;

	if (bpf_map_lookup_elem(&observed_conns, &key) || !observe_copy_sock(copy, real))
		return 0;
	if (!observe_state_in(OBSERVE_OPEN | 1 << TCP_SYN_SENT | 1 << TCP_SYN_RECV, ((struct sock *)copy->sock)->__sk_common.skc_state))
		return 0;
	observe_load_totals(&conn.base, (void *)copy->sock);
	bpf_map_update_elem(&observed_conns, &key, &conn, BPF_NOEXIST);
	if (OBSERVES_LIMITS)
		limits_found(real);
	return 0;
}

SEC("iter/task_file")
int observe_scan_iter(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct sock *stream = stream_of_file(task, ctx->file);
	struct observe_copy *copy;
	__u32 zero = 0;
	struct sock *sk;

	copy = bpf_map_lookup_elem(&observe_copies, &zero);
	if (!task || !stream || !copy)
		return 0;
	sk = socket_of_turn(stream);
	return sk ? observe_known(copy, sk) : 0;
}

/*
 * Members are loaded from the socket itself, or from a copy, which costs more than all other reads of an idle connection. NULL if
 * the kernel refuses the read.
 */
static __always_inline struct sock *observe_sock(struct observe_copy *copy, __u64 key)
{
	if (casts_socks() && !OBSERVES_LIMITS)
		return (struct sock *)tcp_sock_at(key);
	return observe_copy_sock(copy, (void *)key) ? (void *)copy->sock : NULL;
}

static __noinline bool observe_passes(struct observe_copy *copy, struct sock *sk, const struct conn *conn)
{
	struct tcp_sock *tp = (void *)sk;

	load_head(&copy->head, sk, TCC_EVENT_DESTROY, 0, false);
	keep_port(&copy->head, tp, TCC_EVENT_DESTROY);
	if (!copy->head.dport)
		return false;
	return filter_head(&copy->head, zone_of(sk)) && filter_sock(sk, tp, 0, 0, false) && filter_owner(conn);
}

/* One that has ended meanwhile may be another's by now. If we have the lock, its end is waiting. */
static __always_inline bool observe_is_there(__u64 key)
{
	struct observe_left_key at_end = { .sk = key, .ends = 1 };

	return bpf_map_lookup_elem(&observed_conns, &key) && !bpf_map_lookup_elem(&observe_left, &at_end);
}

/*
 * Loads a connection for --top, and writes it to `seq`, if that is not NULL. Not 0: it is not to be counted, as it is none any more,
 * or as the kernel's buffer is full; then the kernel runs the program again for this connection, with an empty one.
 */
static __noinline int observe_load_top(struct seq_file *seq, struct observe_copy *copy, struct sock *sk, __u64 key,
				       const struct conn *conn)
{
	struct inet_connection_sock *icsk = (void *)sk;
	const struct tcp_congestion_ops *ca_ops;
	struct tcp_sock *tp = (void *)sk;
	struct tcc_top_conn *out;
	__u32 zero = 0;

	out = bpf_map_lookup_elem(&observe_top, &zero);
	if (!out)
		return 1;
	__builtin_memset(out, 0, sizeof(*out));
	observe_load_totals(&out->totals, tp);
	out->sk = key;
	out->cookie = copy->head.cookie;
	__builtin_memcpy(out->saddr, copy->head.saddr, sizeof(out->saddr));
	__builtin_memcpy(out->daddr, copy->head.daddr, sizeof(out->daddr));
	out->sport = copy->head.sport;
	out->dport = copy->head.dport;
	out->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	ca_ops = icsk->icsk_ca_ops;
	bpf_core_read_str(out->ca_name, sizeof(out->ca_name), &ca_ops->name);
	if (conn && owner_known(conn))
		__builtin_memcpy(out->comm, conn->comm, sizeof(out->comm));
	out->total_retrans = tp->total_retrans;
	out->srtt_us = tp->srtt_us >> 3;
	out->min_rtt_us = tp->rtt_min.s[0].v;
	out->snd_cwnd = tp->snd_cwnd;
	out->mss = tp->mss_cache;
	out->rate_delivered = tp->rate_delivered;
	out->rate_interval_us = tp->rate_interval_us;
	return !observe_is_there(key) || (seq && bpf_seq_write(seq, out, sizeof(*out)));
}

/*
 * `takes`: what it has transferred is to be added, and we have the lock. With --top, an open connection is written to `seq` as well,
 * if that is not NULL. 1: it is open.
 */
static __noinline int observe_read(struct seq_file *seq, struct observe_copy *copy, __u64 key, __u64 takes)
{
	const struct conn *conn = cfg.track_conn ? bpf_map_lookup_elem(&conns, &key) : NULL;
	struct sock *sk;
	bool open;

	if (OBSERVES_LIMITS)
		observe_limits_begin(copy, key);
	sk = observe_sock(copy, key);
	if (!sk || !observe_passes(copy, sk, conn))
		return 0;
	open = observe_state_in(OBSERVE_OPEN, sk->__sk_common.skc_state);
	observe_load(&copy->moment, &copy->head, sk, conn);
	if (cfg.top && open ? observe_load_top(seq, copy, sk, key, conn) : !observe_is_there(key))
		return 0;
	if (OBSERVES_LIMITS)
		observe_limits_read(copy, key);
	if (takes)
		observe_take(&copy->moment, key, 0);
	if (open)
		observe_add(&copy->moment, TCC_OBSERVE_OPEN, 1);
	return open;
}

/*
 * Has the connection transferred anything since it was last read? Most have not, and need no lock. Without the cast, the answer
 * would take a copy of the socket, so all connections count as changed.
 */
static __noinline int observe_has_changed(const struct observed_conn *conn, __u64 key)
{
	struct tcc_observe_totals now = {};

	if (!casts_socks() || OBSERVES_LIMITS)
		return 1;
	observe_load_totals(&now, tcp_sock_at(key));
	return now.bytes_sent != conn->base.bytes_sent || now.bytes_retrans != conn->base.bytes_retrans ||
	       now.bytes_acked != conn->base.bytes_acked || now.bytes_received != conn->base.bytes_received ||
	       now.segs_out != conn->base.segs_out || now.segs_in != conn->base.segs_in ||
	       now.data_segs_out != conn->base.data_segs_out || now.data_segs_in != conn->base.data_segs_in;
}

static __always_inline int observe_connection(struct seq_file *seq, const struct observed_conn *conn, __u64 key)
{
	struct observe_copy *copy;
	__u32 zero = 0;
	int open;

	copy = bpf_map_lookup_elem(&observe_copies, &zero);
	if (!copy)
		return 0;
	if (!observe_has_changed(conn, key))
		return observe_read(seq, copy, key, 0);
	if (!observe_lock(key))
		return 0;
	open = observe_read(seq, copy, key, 1);
	observe_unlock(key);
	observe_settle(key);
	return open;
}

SEC("iter/bpf_map_elem")
int observe_iter(struct bpf_iter__bpf_map_elem *ctx)
{
	const struct observed_conn *conn = ctx->value;
	__u64 *key = ctx->key;

	if (key && conn)
		observe_connection(ctx->meta->seq, conn, *key);
	return 0;
}

/* Attached to nothing, as kernel_clock. Its argument is the key; 1: it is open, and with --top in `observe_top`. */
SEC("raw_tp")
int observe_one(const __u64 *ctx)
{
	__u64 key = ctx[0];
	const struct observed_conn *conn = bpf_map_lookup_elem(&observed_conns, &key);

	return conn ? observe_connection(NULL, conn, key) : 0;
}

#endif
