/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sock:inet_sock_set_state into CLOSE: the end of a connection that was established, with its totals. The socket may stay
 * (until its process closes it) or connect again; so it is not tcp_destroy_sock. TIME_WAIT is no state of the socket: the
 * connection's end is where that begins.
 */
#ifndef __TCC_LIFE_BPF_H__
#define __TCC_LIFE_BPF_H__

#define ECONNABORTED 103
#define SOCK_DONE (1 << 1) /* of enum sock_flags: the peer's FIN is there */
#define SOCK_LINGER (1 << 4)

/* States of a connection that is established, or was. */
#define TCPF_OPEN                                                                                     \
	(1 << TCP_ESTABLISHED | 1 << TCP_FIN_WAIT1 | 1 << TCP_FIN_WAIT2 | 1 << TCP_CLOSE_WAIT |       \
	 1 << TCP_LAST_ACK | 1 << TCP_CLOSING)

/*
 * A RST may still end what a FIN has closed: where a process leaves data unread, or does not want to wait. With the peer's
 * FIN and the ACK of ours it is over; before the former (FIN_WAIT2) a closed socket goes to TIME_WAIT as well, and only what
 * the process has done tells them apart.
 */
static __always_inline bool ends_orderly(struct event *e, int oldstate)
{
	unsigned long flags = e->sk->__sk_common.skc_flags;

	if (oldstate == TCP_LAST_ACK || oldstate == TCP_CLOSING)
		return e->tp->snd_una == e->tp->write_seq;
	if (oldstate != TCP_FIN_WAIT2)
		return false;
	if ((flags & SOCK_DONE) || !e->sk->sk_lock.owned)
		return true;
	return e->tp->rcv_nxt == e->tp->copied_seq && !((flags & SOCK_LINGER) && !e->sk->sk_lingertime);
}

/*
 * The RST that a process's close() sends follows the change of state, and so does its error. What the network did stands
 * before it: the error in the socket, and tcp_receive_reset.
 */
static __always_inline __u8 life_reason(struct event *e, int oldstate, __u32 err)
{
	if (e->conn && (e->conn->flags & CONN_RESET))
		return TCC_END_RESET_RECEIVED;
	if (err == ETIMEDOUT)
		return TCC_END_TIMEOUT;
	if (err)
		return TCC_END_ERROR;
	return ends_orderly(e, oldstate) ? TCC_END_FIN : TCC_END_RESET_SENT;
}

/* Who sent the first FIN; without one, who reset it. */
static __always_inline __u8 life_closed_by(const struct conn *conn, __u8 reason, __u32 err)
{
	__u8 flags = conn ? conn->flags : 0;

	if (flags & CONN_CLOSED_BY_US)
		return TCC_CLOSED_BY_US;
	if (flags & CONN_CLOSED_BY_PEER)
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
	__builtin_memset(out->unused, 0, sizeof(out->unused));
}

/* What is not known may have been long. */
static __always_inline bool too_short(struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct conn *conn = cfg.min_ns ? bpf_map_lookup_elem(&conns, &key) : NULL;

	return conn && conn->established_ns && bpf_ktime_get_ns() - conn->established_ns < cfg.min_ns;
}

static __always_inline int on_life(void *ctx, struct sock *sk, int oldstate, int newstate, const bool typed)
{
	struct tcc_life *rec;
	struct event e;

	if (newstate != TCP_CLOSE || !(1 << (oldstate & 31) & TCPF_OPEN) || !is_tcp(sk))
		return 0;
	if (too_short(sk)) {
		event_filtered(TCC_KIND_LIFE);
		return 0;
	}
	rec = event_begin(&e, sk, TCC_KIND_LIFE, sizeof(*rec), typed);
	if (!rec)
		return 0;
	/* What the last packets have done, after which there was no other. */
	if (e.conn)
		conn_sampled(e.conn, e.tp->srtt_us >> 3, e.tp->snd_cwnd);
	load_life(rec, &e);
	rec->err = e.sk->sk_err;
	rec->reason = life_reason(&e, oldstate, rec->err);
	rec->closed_by = life_closed_by(e.conn, rec->reason, rec->err);
	return event_end(ctx, &e, rec, sizeof(*rec));
}

TRACEPOINT(inet_sock_set_state, life, on_life, (struct sock *sk, int oldstate, int newstate),
	   (ctx, sk, oldstate, newstate))

static __always_inline int life_list(struct bpf_iter__task_file *ctx, struct sock *sk)
{
	struct tcc_life *rec;
	struct conn *conn;
	struct event e;

	if (!(1 << (BPF_CORE_READ(sk, __sk_common.skc_state) & 31) & TCPF_OPEN))
		return 0;
	conn = conn_of((__u64)sk);
	if (!conn || conn->established_ns || (conn->flags & CONN_LISTED))
		return 0;
	conn->flags |= CONN_LISTED;
	if (!subflow_of_real(sk))
		cookie_of_file(ctx->file);
	rec = event_begin(&e, sk, TCC_KIND_LIFE, sizeof(*rec), false);
	if (!rec)
		return 0;
	load_life(rec, &e);
	return event_end(ctx, &e, rec, sizeof(*rec));
}

/* The connections that are open when the trace begins, each once, however many files it has. Run after the others. */
SEC("iter/task_file")
int life_iter(struct bpf_iter__task_file *ctx)
{
	struct sock *stream = stream_of_file(ctx->task, ctx->file);
	struct sockets all;

	if (!stream)
		return 0;
	all = sockets_of(stream);
	for (int i = 0; i < MAX_SUBFLOWS && all.sk; i++) {
		life_list(ctx, all.sk);
		sockets_next(&all);
	}
	return 0;
}

#endif
