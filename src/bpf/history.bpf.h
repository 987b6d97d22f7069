/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A connection's beginning, and its resets: for the event types whose records show how long something took, or
 * who did it. These handlers run before those that make the records.
 */
#ifndef __TCC_HISTORY_BPF_H__
#define __TCC_HISTORY_BPF_H__

#include "kernel.h"
#include "maps.bpf.h"
#include "compat.bpf.h"
#include "conn.bpf.h"
#include "opening.bpf.h"

/* A connection begins, perhaps under the address of an earlier socket, or of one that connects again. */
static __always_inline void history_begin(struct conn *conn, struct sock *sk, int newstate)
{
	conn->opened_ns = bpf_ktime_get_ns();
	conn->established_ns = 0;
	conn->syn_ns = 0;
	conn->handshake_us = 0;
	conn->deferred = newstate == TCP_SYN_RECV && listener_defers(sk);
	conn->accepted = 0;
	conn->ca_seen = 0;
	conn->srtt_sum_us = 0;
	conn->srtt_samples = 0;
	conn->srtt_max_us = 0;
	conn->snd_cwnd_max = 0;
	conn->stale_err_soft = BPF_CORE_READ(sk, sk_err_soft);
	conn->stale_error = (__u64)BPF_CORE_READ(sk, sk_error_queue.prev);
	conn->active = newstate == TCP_SYN_SENT;
	conn->reset_received = 0;
	conn->reset_sent = 0;
	conn->listed = 0;
}

static __always_inline void history_established(struct conn *conn, struct sock *sk, const bool typed)
{
	__u64 now = bpf_ktime_get_ns(), syn_ns;

	/* The program that reports it later may not be able to make one. */
	if (typed && cfg.cookie_helper)
		bpf_get_socket_cookie(sk);
	conn->established_ns = now;
	/* One that answers a bad SYN-ACK ends nothing. */
	conn->reset_sent = 0;
	/* Under TCP_REPAIR there is no handshake. */
	if (BPF_CORE_READ_BITFIELD_PROBED((struct tcp_sock *)sk, repair))
		return;
	if (!conn->active) {
		conn->handshake_us = passive_handshake_us(conn, sk, now);
		return;
	}
	syn_ns = syn_sent_ns(conn, sk);
	if (syn_ns)
		conn->handshake_us = (now - syn_ns) / 1000;
}

static __noinline int on_conn_state(struct sock *sk, int oldstate, int newstate, const bool typed)
{
	struct conn *conn;

	/* At its end the state is read. */
	if (newstate == TCP_CLOSE || newstate == TCP_LISTEN)
		return 0;
	conn = conn_of((__u64)sk);
	if (!conn)
		return 0;
	if (is_first_state(oldstate, newstate))
		history_begin(conn, sk, newstate);
	else if (newstate == TCP_ESTABLISHED)
		history_established(conn, sk, typed);
	return 0;
}

static __always_inline int on_conn_reset(struct sock *sk)
{
	struct conn *conn = conn_of((__u64)sk);

	if (conn)
		conn->reset_received = 1;
	return 0;
}

/* What close() sends follows the change to CLOSE; what a timer or `ss --kill` sends comes before it. */
static __always_inline int on_conn_reset_sent(__u64 key)
{
	struct conn *conn = bpf_map_lookup_elem(&conns, &key);

	if (conn)
		conn->reset_sent = 1;
	return 0;
}

/* One sample; before the first RTT there is only the window. */
static __always_inline void conn_sampled(struct conn *conn, __u32 srtt_us, __u32 snd_cwnd)
{
	if (snd_cwnd > conn->snd_cwnd_max)
		conn->snd_cwnd_max = snd_cwnd;
	if (!srtt_us)
		return;
	conn->srtt_sum_us += srtt_us;
	conn->srtt_samples += 1;
	if (srtt_us > conn->srtt_max_us)
		conn->srtt_max_us = srtt_us;
}

/*
 * Runs at each packet of each connection, so it is called only where these columns are shown. The kernel holds the
 * socket's lock, so nobody else is at its sums.
 */
static __always_inline int on_conn_sample(struct sock *sk, const bool typed)
{
	struct tcp_sock *tp = typed ? bpf_skc_to_tcp_sock(sk) : (void *)sk;
	struct conn *conn = conn_of((__u64)sk);

	if (conn && tp)
		conn_sampled(conn, FOLLOW(typed, tp, srtt_us) >> 3, FOLLOW(typed, tp, snd_cwnd));
	return 0;
}

#endif
