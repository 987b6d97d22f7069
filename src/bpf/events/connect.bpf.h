/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sock:inet_sock_set_state: the end of an active open, good or bad.
 *
 * Where the network or the peer ends it, the kernel has left the error in the socket by then: tcp_reset(), tcp_write_err()
 * and the ICMP handlers set sk_err before tcp_done(). Where the process gives up (close) there is none; unless an ICMP message
 * came while connect() had the socket: that one goes into sk_err_soft, which SO_ERROR fetches and erases, and into the error
 * queue (5.9, 45af29ca761c), which makes poll() return.
 */
#ifndef __TCC_CONNECT_BPF_H__
#define __TCC_CONNECT_BPF_H__

#include "kernel.h"
#include "event.h"
#include "lifecycle.h"
#include "summary.h"
#include "maps.bpf.h"
#include "key.bpf.h"
#include "histogram.bpf.h"
#include "opening.bpf.h"
#include "events/socket.bpf.h"
#include "events/connect_exit.bpf.h"

/* Of the messages in the error queue, from the youngest on. */
#define QUEUED_ERRORS 4

/* The youngest ICMP error that waits in the error queue and came for this attempt; 0: none. */
static __always_inline __u32 queued_error(struct sock *sk, __u64 stale)
{
	struct sock_exterr_skb *serr;
	struct sk_buff *skb;
	__u8 origin;

	skb = sk->sk_error_queue.prev;
#pragma unroll
	for (__u32 i = 0; i < QUEUED_ERRORS; i++) {
		if (i >= sk->sk_error_queue.qlen || (__u64)skb == stale)
			break;
		serr = (void *)skb + bpf_core_field_offset(skb->cb);
		origin = BPF_CORE_READ(serr, ee.ee_origin);
		if (origin == SO_EE_ORIGIN_ICMP || origin == SO_EE_ORIGIN_ICMP6)
			return BPF_CORE_READ(serr, ee.ee_errno);
		skb = BPF_CORE_READ(skb, prev);
	}
	return 0;
}

/* What the process gets, or has got. tcp_disconnect() leaves the soft error and the queue of an earlier attempt. */
static __always_inline __u32 connect_error(struct sock *sk, const struct conn *conn)
{
	if (sk->sk_err)
		return sk->sk_err;
	if (sk->sk_err_soft && !(conn && conn->stale_err_soft == sk->sk_err_soft))
		return sk->sk_err_soft;
	return queued_error(sk, conn ? conn->stale_error : 0);
}

/* connect() has succeeded, and the first data were to send the SYN: it has a port, which one that failed has not. */
static __always_inline bool is_held_back(struct tcp_sock *tp)
{
	return BPF_CORE_READ_BITFIELD(tp, fastopen_connect) && ((struct inet_sock *)tp)->inet_sport;
}

/* How long after connect() the SYN was sent, or has not been. Only with that option need they be apart. */
static __always_inline __u64 held_back_ns(struct event *e, __u64 syn_ns, __u64 now)
{
	if (!e->conn || !e->conn->opened_ns || !BPF_CORE_READ_BITFIELD(e->tp, fastopen_connect))
		return TCC_UNKNOWN_NS;
	if (syn_ns)
		return syn_ns - e->conn->opened_ns;
	return e->tp->segs_out ? TCC_UNKNOWN_NS : now - e->conn->opened_ns;
}

static __always_inline __u8 connect_outcome(struct event *e, int newstate, __u32 err)
{
	if (newstate == TCP_ESTABLISHED)
		return TCC_OUTCOME_ESTABLISHED;
	if (err == ECONNREFUSED)
		return TCC_OUTCOME_REFUSED;
	if (err == ETIMEDOUT)
		return TCC_OUTCOME_TIMEOUT;
	/*
	 * Without an error a process gives up; unless connect() itself failed before it sent anything, or the process has
	 * fetched the error already, which it could before tcp_done_with_error() (6.11).
	 */
	if (!err && e->sk->sk_lock.owned && (e->tp->segs_out || is_held_back(e->tp)))
		return TCC_OUTCOME_ABORTED;
	return TCC_OUTCOME_ERROR;
}

/* Of both sides opening at once, and of a socket that connects to itself, SYN_RECV is the way to ESTABLISHED. */
static __always_inline bool connect_ends(const struct conn *conn, int oldstate, int newstate)
{
	if (newstate != TCP_ESTABLISHED && newstate != TCP_CLOSE)
		return false;
	return oldstate == TCP_SYN_SENT || (oldstate == TCP_SYN_RECV && conn && conn->active);
}

/* Under TCP_REPAIR connect() sends nothing, nor where it fails itself: no port is left, there is no route. */
static __always_inline __u64 connect_syn_ns(const struct conn *conn, struct sock *sk, int newstate)
{
	if (newstate == TCP_CLOSE && !BPF_CORE_READ((struct tcp_sock *)sk, segs_out))
		return 0;
	return syn_sent_ns(conn, sk);
}

static __noinline int connect_count(struct event *e, int newstate, __u64 latency_ns)
{
	__u32 which = newstate == TCP_ESTABLISHED ? TCC_VALUE_LATENCY : TCC_VALUE_FAILED;
	struct tcc_key key = {};

	load_key(&key, e->head, e->sk, e->tp, e->conn, false, true);
	return event_aggregated(e, histogram_time(&key, which, latency_ns));
}

static __noinline int connect_record(void *ctx, struct event *e, struct sock *sk, int newstate, __u64 latency_ns)
{
	struct tcc_connect *rec = event_record(e, 0, TCC_EVENT_CONNECT, sizeof(*rec));

	if (!rec)
		return 0;
	rec->latency_ns = latency_ns;
	rec->syn_wait_ns = held_back_ns(e, connect_syn_ns(e->conn, sk, newstate), rec->event.head.mono_ns);
	rec->err = newstate == TCP_CLOSE ? connect_error(e->sk, e->conn) : 0;
	rec->outcome = connect_outcome(e, newstate, rec->err);
	__builtin_memset(rec->unused, 0, sizeof(rec->unused));
	if (newstate == TCP_CLOSE && awaits_return(e, rec))
		return 0;
	emit_end(ctx, e->n, rec, sizeof(*rec), TCC_EVENT_CONNECT);
	return 0;
}

static __noinline int on_connect(void *ctx, struct sock *sk, int oldstate, int newstate, const bool typed)
{
	__u64 key = (__u64)sk, latency_ns = 0, syn_ns;
	struct conn *conn;
	struct event e;

	conn = bpf_map_lookup_elem(&conns, &key);
	if (!connect_ends(conn, oldstate, newstate))
		return 0;
	syn_ns = connect_syn_ns(conn, sk, newstate);
	if (syn_ns && !BPF_CORE_READ_BITFIELD_PROBED((struct tcp_sock *)sk, repair))
		latency_ns = bpf_ktime_get_ns() - syn_ns;
	if ((cfg.failed_only && newstate == TCP_ESTABLISHED) || latency_ns < cfg.min_ns) {
		event_filtered(TCC_EVENT_CONNECT);
		return 0;
	}
	if (!event_filter(&e, sk, NULL, TCC_EVENT_CONNECT, typed))
		return 0;
	if (AGGREGATES(CONNECT))
		connect_count(&e, newstate, latency_ns);
	if (RECORDS(CONNECT))
		connect_record(ctx, &e, sk, newstate, latency_ns);
	copies_release();
	return 0;
}

#endif
