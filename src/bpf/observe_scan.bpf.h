/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What connections have transferred so far: observe_scan_iter finds those that are open when the trace begins, by the files of all
 * processes; observe_iter reads all that are known, of all network namespaces and also those that no process has (any more).
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

/* `sk` and `tp` are copies. */
static __noinline bool observe_passes(struct observe_copy *copy, struct sock *sk, const struct conn *conn)
{
	struct tcp_sock *tp = (void *)sk;

	load_head(&copy->head, sk, TCC_EVENT_DESTROY, 0, false);
	keep_port(&copy->head, tp, TCC_EVENT_DESTROY);
	if (!copy->head.dport)
		return false;
	return filter_head(&copy->head, zone_of(sk)) && filter_sock(sk, tp, 0, 0, false) && filter_owner(conn);
}

/* `sk` and `tp` are copies. False if the kernel's buffer is full: it runs the program again for this connection, with an empty one. */
static __noinline int observe_write(struct seq_file *seq, struct observe_copy *copy, __u64 key, const struct conn *conn)
{
	struct inet_connection_sock *icsk = (void *)copy->sock;
	const struct tcp_congestion_ops *ca_ops;
	struct tcp_sock *tp = (void *)copy->sock;
	struct sock *sk = (void *)copy->sock;
	struct tcc_top_conn *out = &copy->top;

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
	return !bpf_seq_write(seq, out, sizeof(*out));
}

static __noinline int observe_read(struct seq_file *seq, struct observe_copy *copy, __u64 key)
{
	struct observe_left_key at_end = { .sk = key, .ends = 1 };
	struct sock *sk = (void *)copy->sock;
	const struct conn *conn = cfg.track_conn ? bpf_map_lookup_elem(&conns, &key) : NULL;
	__u8 state;

	if (OBSERVES_LIMITS)
		observe_limits_begin(copy, key);
	/* One that has ended meanwhile may be another's by now. Its end is waiting there, as we have the lock. */
	if (!bpf_map_lookup_elem(&observed_conns, &key) || !observe_copy_sock(copy, (void *)key) ||
	    bpf_map_lookup_elem(&observe_left, &at_end))
		return 0;
	if (!observe_passes(copy, sk, conn))
		return 0;
	state = sk->__sk_common.skc_state;
	/* Before anything is added, as it may run again. */
	if (cfg.top && observe_state_in(OBSERVE_OPEN, state) && !observe_write(seq, copy, key, conn))
		return 0;
	observe_load(&copy->moment, &copy->head, sk, conn);
	if (OBSERVES_LIMITS)
		observe_limits_read(copy, key);
	observe_take(&copy->moment, key, 0);
	if (observe_state_in(OBSERVE_OPEN, state))
		observe_add(&copy->moment, TCC_OBSERVE_OPEN, 1);
	return 0;
}

SEC("iter/bpf_map_elem")
int observe_iter(struct bpf_iter__bpf_map_elem *ctx)
{
	struct observe_copy *copy;
	__u64 *at = ctx->key, key;
	__u32 zero = 0;

	copy = bpf_map_lookup_elem(&observe_copies, &zero);
	if (!at || !copy)
		return 0;
	key = *at;
	if (!observe_lock(key))
		return 0;
	observe_read(ctx->meta->seq, copy, key);
	observe_unlock(key);
	observe_settle(key);
	return 0;
}

#endif
