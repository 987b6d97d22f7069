/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sock:inet_sock_set_state into CLOSE: the end of a connection that was established, with its totals. The socket may stay
 * (until its process closes it) or connect again; so it is not tcp_destroy_sock. TIME_WAIT is no state of the socket: the
 * connection's end is where that begins.
 */
#ifndef __TCC_LIFE_BPF_H__
#define __TCC_LIFE_BPF_H__

#include "kernel.h"
#include "event.h"
#include "lifecycle.h"
#include "maps.bpf.h"
#include "compat.bpf.h"
#include "mptcp.bpf.h"
#include "conn.bpf.h"
#include "owner.bpf.h"
#include "history.bpf.h"
#include "limits_maps.bpf.h"
#include "events/socket.bpf.h"

/* States of a connection that is established, or was. */
#define TCPF_OPEN                                                                                     \
	(1 << TCP_ESTABLISHED | 1 << TCP_FIN_WAIT1 | 1 << TCP_FIN_WAIT2 | 1 << TCP_CLOSE_WAIT |       \
	 1 << TCP_LAST_ACK | 1 << TCP_CLOSING)

/* Of a socket that somebody still holds only the peer's FIN makes a TIME_WAIT; an orphan does not wait for that. */
static __always_inline bool ends_orderly(struct event *e, int oldstate)
{
	unsigned long flags = e->sk->__sk_common.skc_flags;

	if (oldstate == TCP_LAST_ACK || oldstate == TCP_CLOSING)
		return e->tp->snd_una == e->tp->write_seq;
	if (oldstate != TCP_FIN_WAIT2)
		return false;
	return (flags & SOCK_DONE) || ((flags & SOCK_DEAD) && e->tp->linger2 >= 0);
}

/* Data that the process has not read; a FIN takes a number, too. */
static __always_inline bool leaves_unread(struct event *e)
{
	__u32 fin = !!(e->sk->__sk_common.skc_flags & SOCK_DONE);

	return e->tp->rcv_nxt - e->tp->copied_seq > fin;
}

/*
 * The RST that a process causes follows the change to CLOSE. So whether there will be one is worked out as __tcp_close() and
 * tcp_disconnect() do.
 */
static __always_inline bool sends_reset(struct event *e, int oldstate)
{
	bool held = e->sk->sk_lock.owned;

	if (BPF_CORE_READ_BITFIELD(e->tp, repair))
		return false;
	/* TCP_LINGER2 below 0; and within close(), no memory for an orphan. Other orphans end without a packet. */
	if (e->sk->__sk_common.skc_flags & SOCK_DEAD)
		return held || oldstate == TCP_FIN_WAIT2;
	if (oldstate != TCP_LAST_ACK && oldstate != TCP_CLOSING)
		return true;
	return (e->sk->sk_shutdown == SHUTDOWN_MASK && leaves_unread(e)) || e->tp->snd_nxt != e->tp->write_seq;
}

/* A timer ends it with an error in the socket, which the process may have fetched by then (before 6.11). */
static __always_inline bool error_is_fetched(struct event *e)
{
	return !e->sk->sk_lock.owned && e->sk->sk_socket && !(e->sk->__sk_common.skc_flags & SOCK_DEAD);
}

/*
 * What the network did stands before the change to CLOSE: tcp_receive_reset, the RST that a timer sends, the error in the
 * socket. An error that is older than the end (of an ICMP message that was ignored) does not make it one.
 */
static __always_inline __u8 life_reason(struct event *e, int oldstate, __u32 err)
{
	bool orderly = ends_orderly(e, oldstate);

	if (e->conn && e->conn->reset_received)
		return TCC_END_RESET_RECEIVED;
	if (orderly && (oldstate != TCP_FIN_WAIT2 || (e->sk->__sk_common.skc_flags & SOCK_DONE)))
		return TCC_END_FIN;
	if (err == ETIMEDOUT)
		return TCC_END_TIMEOUT;
	if (err)
		return TCC_END_ERROR;
	if (e->conn && e->conn->reset_sent)
		return TCC_END_RESET_SENT;
	if (orderly)
		return TCC_END_FIN;
	if (error_is_fetched(e))
		return TCC_END_ERROR;
	return sends_reset(e, oldstate) ? TCC_END_RESET_SENT : TCC_END_SILENT;
}

/* Who sent the first FIN: the state says. Without one, who reset it. */
static __always_inline __u8 life_closed_by(int oldstate, __u8 reason, __u32 err)
{
	if (oldstate == TCP_FIN_WAIT1 || oldstate == TCP_FIN_WAIT2 || oldstate == TCP_CLOSING)
		return TCC_CLOSED_BY_US;
	if (oldstate == TCP_CLOSE_WAIT || oldstate == TCP_LAST_ACK)
		return TCC_CLOSED_BY_PEER;
	if (reason == TCC_END_RESET_RECEIVED)
		return TCC_CLOSED_BY_PEER;
	if (reason == TCC_END_RESET_SENT || err == ECONNABORTED)
		return TCC_CLOSED_BY_US;
	return TCC_CLOSED_BY_NONE;
}

static __always_inline void load_life(struct tcc_life *out, struct event *e)
{
	out->duration_ns = 0;
	if (e->conn && e->conn->established_ns)
		out->duration_ns = out->event.head.mono_ns - e->conn->established_ns;
	out->bytes_sent = LOAD_IF(e->tp, bytes_sent); /* 4.19 */
	out->bytes_retrans = LOAD_IF(e->tp, bytes_retrans); /* 4.19 */
	out->srtt_sum_us = e->conn ? e->conn->srtt_sum_us : 0;
	out->srtt_samples = e->conn ? e->conn->srtt_samples : 0;
	out->srtt_max_us = e->conn ? e->conn->srtt_max_us : 0;
	out->snd_cwnd_max = e->conn ? e->conn->snd_cwnd_max : 0;
	out->handshake_us = e->conn ? e->conn->handshake_us : 0;
	out->min_rtt_us = e->tp->rtt_min.s[0].v;
	out->rate_delivered = e->tp->rate_delivered;
	out->rate_interval_us = e->tp->rate_interval_us;
	out->mss = e->tp->mss_cache;
	out->err = 0;
	out->reason = TCC_END_NONE;
	out->closed_by = TCC_CLOSED_BY_NONE;
	out->limits_observed_ns = 0;
	out->limits_main_ns = 0;
	out->limits_main = 0;
	__builtin_memset(out->unused, 0, sizeof(out->unused));
}

/* The cause with the most time, the first of those with the same. Its account is complete: on_limits_state() was before. */
static __noinline int load_life_limits(struct tcc_life *out, struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct tcc_limits *l = bpf_map_lookup_elem(&limits_conns, &key);
	int cause;

	if (!l)
		return 0;
	out->limits_observed_ns = l->t0_ns - l->begin_ns;
	for (cause = 0; cause < TCC_CAUSES; cause++) {
		if (l->ns[cause] <= out->limits_main_ns)
			continue;
		out->limits_main_ns = l->ns[cause];
		out->limits_main = cause + 1;
	}
	return 0;
}

/* What is not known may have been long. */
static __always_inline bool too_short(struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct conn *conn = cfg.min_ns ? bpf_map_lookup_elem(&conns, &key) : NULL;

	return conn && conn->established_ns && bpf_ktime_get_ns() - conn->established_ns < cfg.min_ns;
}

static __noinline int on_life(void *ctx, struct sock *sk, int oldstate, int newstate, const bool typed)
{
	struct tcc_life *rec;
	struct event e;

	if (newstate != TCP_CLOSE || !(1 << (oldstate & 31) & TCPF_OPEN))
		return 0;
	if (too_short(sk)) {
		event_filtered(TCC_EVENT_LIFE);
		return 0;
	}
	rec = event_begin(&e, sk, TCC_EVENT_LIFE, sizeof(*rec), typed);
	if (!rec)
		return 0;
	/* What the last packets have done, after which there was no other. */
	if (e.conn)
		conn_sampled(e.conn, e.tp->srtt_us >> 3, e.tp->snd_cwnd);
	load_life(rec, &e);
	if (cfg.trackers & TCC_TRACK_LIMITS)
		load_life_limits(rec, sk);
	rec->err = e.sk->sk_err;
	rec->reason = life_reason(&e, oldstate, rec->err);
	rec->closed_by = life_closed_by(oldstate, rec->reason, rec->err);
	return event_end(ctx, &e, rec, sizeof(*rec), TCC_EVENT_LIFE);
}

static __always_inline int life_list(struct bpf_iter__task_file *ctx, struct sock *sk)
{
	struct tcc_life *rec;
	struct conn *conn;
	struct event e;

	if (!(1 << (BPF_CORE_READ(sk, __sk_common.skc_state) & 31) & TCPF_OPEN))
		return 0;
	conn = conn_of((__u64)sk);
	if (!conn || conn->established_ns || conn->listed)
		return 0;
	conn->listed = 1;
	if (!subflow_of_real(sk))
		cookie_of_file(ctx->file);
	rec = event_begin(&e, sk, TCC_EVENT_LIFE, sizeof(*rec), false);
	if (!rec)
		return 0;
	load_life(rec, &e);
	rec->closed_by = life_closed_by(rec->event.tcp.state, TCC_END_NONE, 0);
	return event_end(ctx, &e, rec, sizeof(*rec), TCC_EVENT_LIFE);
}

/* The connections that are open when the trace begins, each once, however many files it has. Run after the others. */
SEC("iter/task_file")
int life_iter(struct bpf_iter__task_file *ctx)
{
	struct sock *stream = stream_of_file(ctx->task, ctx->file);
	struct sock *sk = stream ? socket_of_turn(stream) : NULL;

	return sk ? life_list(ctx, sk) : 0;
}

#endif
