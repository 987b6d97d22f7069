/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A connection's beginning and the first step towards its end: for the kinds whose records tell how long something took, or
 * who did it. These hooks run before the programs that make the records.
 */
#ifndef __TCC_HISTORY_BPF_H__
#define __TCC_HISTORY_BPF_H__

#define CONN_CLOSED (CONN_CLOSED_BY_US | CONN_CLOSED_BY_PEER)
#define CONN_HISTORY (CONN_ACTIVE | CONN_RESET | CONN_CLOSED | CONN_LISTED)

/* A connection begins, perhaps under the address of an earlier socket, or of one that connects again. */
static __always_inline void history_begin(struct conn *conn, int newstate)
{
	conn->opened_ns = bpf_ktime_get_ns();
	conn->established_ns = 0;
	conn->handshake_us = 0;
	conn->ca_seen = 0;
	conn->srtt_sum_us = 0;
	conn->srtt_samples = 0;
	conn->srtt_max_us = 0;
	conn->snd_cwnd_max = 0;
	conn->flags &= ~CONN_HISTORY;
	if (newstate == TCP_SYN_SENT)
		conn->flags |= CONN_ACTIVE;
}

/* A request begins as a socket does. */
static __always_inline struct synack_key synack_key(struct sock *sk)
{
	struct synack_key key = { .local = listener_key(sk) };

	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6)
		BPF_CORE_READ_INTO(&key.daddr, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
	else
		mapped(key.daddr, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	key.dport = BPF_CORE_READ(sk, __sk_common.skc_dport);
	return key;
}

static __always_inline int on_synack_time(struct sock *listener, struct request_sock *req, const bool typed)
{
	struct synack_key key = synack_key((void *)req);
	__u64 sent_us = BPF_CORE_READ((struct tcp_request_sock *)req, snt_synack);

	if (sent_us)
		remember_anew(synacks, &key, &sent_us);
	return 0;
}

TRACEPOINT(tcp_retransmit_synack, synack_time, on_synack_time, (struct sock *listener, struct request_sock *req),
	   (listener, req))

/*
 * A passive socket is made when the handshake is over (but for TCP Fast Open), so its SYN-ACK's time is the kernel's own: its
 * first RTT sample, where it was sent once, and what the request had, where it was sent again.
 */
static __always_inline __u32 passive_handshake_us(struct sock *sk, __u64 now)
{
	struct tcp_sock *tp = (void *)sk;
	struct synack_key key;
	__u64 *sent_us;
	__u32 took_us;

	if (!BPF_CORE_READ(tp, total_retrans))
		return BPF_CORE_READ(tp, srtt_us) >> 3;
	key = synack_key(sk);
	sent_us = bpf_map_lookup_elem(&synacks, &key);
	if (!sent_us)
		return 0;
	took_us = now / 1000 - *sent_us;
	forget(synacks, &key);
	return took_us;
}

static __always_inline void history_established(struct conn *conn, struct sock *sk, const bool typed)
{
	__u64 now = bpf_ktime_get_ns();

	/* Whoever tells of it later may not be able to make one. */
	if (typed && cfg.cookie_helper)
		bpf_get_socket_cookie(sk);
	conn->established_ns = now;
	if (!(conn->flags & CONN_ACTIVE))
		conn->handshake_us = passive_handshake_us(sk, now);
	else if (conn->opened_ns)
		conn->handshake_us = (now - conn->opened_ns) / 1000;
}

static __always_inline int on_conn_state(struct sock *sk, int oldstate, int newstate, const bool typed)
{
	struct conn *conn;

	/* At its end what is remembered is read. */
	if (newstate == TCP_CLOSE || newstate == TCP_LISTEN || !is_tcp(sk))
		return 0;
	conn = conn_of((__u64)sk);
	if (!conn)
		return 0;
	if (is_first_state(oldstate, newstate))
		history_begin(conn, newstate);
	else if (newstate == TCP_ESTABLISHED)
		history_established(conn, sk, typed);
	else if (newstate == TCP_FIN_WAIT1 && !(conn->flags & CONN_CLOSED))
		conn->flags |= CONN_CLOSED_BY_US;
	else if (newstate == TCP_CLOSE_WAIT && !(conn->flags & CONN_CLOSED))
		conn->flags |= CONN_CLOSED_BY_PEER;
	return 0;
}

TRACEPOINT(inet_sock_set_state, conn_state, on_conn_state, (struct sock *sk, int oldstate, int newstate),
	   (sk, oldstate, newstate))

static __always_inline int on_conn_reset(struct sock *sk, const bool typed)
{
	struct conn *conn = conn_of((__u64)sk);

	if (conn)
		conn->flags |= CONN_RESET;
	return 0;
}

TRACEPOINT(tcp_receive_reset, conn_reset, on_conn_reset, (struct sock *sk), (sk))

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
 * Runs at each packet of each connection, so it is attached only where these columns are shown. The kernel holds the
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

TRACEPOINT(tcp_probe, conn_sample, on_conn_sample, (struct sock *sk), (sk))

#endif
