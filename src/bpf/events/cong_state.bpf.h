/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tcp:tcp_cong_state_set (5.19, 9ad084d66619): the sender's recovery state changes. The socket still holds the old one.
 * It also fires where nothing changes: as a passive socket is made, and in tcp_disconnect(), whose connection is over.
 *
 * Without it the state is compared with the previous one at each packet and at each retransmission. A change is then
 * reported after it happened, and one that is undone before the next of these is missed.
 */
#ifndef __TCC_CONG_STATE_BPF_H__
#define __TCC_CONG_STATE_BPF_H__

#include "kernel.h"
#include "event.h"
#include "summary.h"
#include "maps.bpf.h"
#include "compat.bpf.h"
#include "sock.bpf.h"
#include "entries.bpf.h"
#include "conn.bpf.h"
#include "key.bpf.h"
#include "sums.bpf.h"
#include "observe.bpf.h"
#include "events/socket.bpf.h"

/* One that is not shown ends a state, too. */
static __always_inline void cong_state_passed(struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct conn *conn = cfg.track_conn ? bpf_map_lookup_elem(&conns, &key) : NULL;

	if (conn && (conn->ca_state_ns || AGGREGATES(CONG_STATE)))
		conn->ca_state_ns = bpf_ktime_get_ns();
	if (AGGREGATES(CONG_STATE))
		entry_delete(ca_state_times, &key);
}

static __always_inline void ca_state_time_over(struct tcc_sums *row, const struct tcc_ca_state_time *running, __u64 now)
{
	if (row && running->ca_state < TCC_SUM_CHANGES && now > running->since_ns)
		SUM(row, running->ca_state, now - running->since_ns);
}

/* In place of the old state: the socket still has it. Else the change is inferred. */
#define CA_IN_SOCKET 0xff

/*
 * A connection's time belongs to the row that its first change has found: at its end the socket does not know its ends any
 * more. Before that its state was Open, from its beginning on, if that was seen; or from the last change that was not added up.
 */
static __noinline int cong_state_sum(struct event *e, __u64 addr, __u8 old, __u8 ca_state, __u64 since_ns)
{
	struct tcc_ca_state_time next = {}, *running;
	__u64 now = e->head->mono_ns;
	struct tcc_sums *row;
	bool own;

	running = bpf_map_lookup_elem(&ca_state_times, &addr);
	if (running) {
		next = *running;
	} else {
		load_key(&next.key, e->head, e->sk, e->tp, e->conn, false, true);
		next.ca_state = old == CA_IN_SOCKET ? load_ca_state(e->tp) : old;
		if (e->conn)
			next.since_ns = since_ns > e->conn->opened_ns ? since_ns : e->conn->opened_ns;
	}
	row = sums_of(&next.key, &own);
	if (!row)
		return event_aggregated(e, false);
	if (next.since_ns)
		ca_state_time_over(row, &next, now);
	else
		SUM(row, TCC_SUM_UNKNOWN, 1);
	SUM(row, TCC_SUM_CHANGES, 1);
	if (e->head->cookie)
		row->cookie = e->head->cookie;
	next.since_ns = now;
	next.ca_state = ca_state;
	if (!entry_insert(ca_state_times, &addr, &next))
		bpf_map_update_elem(&ca_state_times, &addr, &next, BPF_ANY);
	return event_aggregated(e, own);
}

/*
 * The last state ends with the connection: with its change to CLOSE, as the socket may stay, and connect again; or, where
 * that was not seen, with the socket.
 */
static __noinline int on_ca_state_time_end(struct sock *sk)
{
	struct tcc_ca_state_time *running;
	__u64 addr = (__u64)sk;
	bool own;

	running = bpf_map_lookup_elem(&ca_state_times, &addr);
	if (!running)
		return 0;
	ca_state_time_over(sums_of(&running->key, &own), running, bpf_ktime_get_ns());
	entry_delete(ca_state_times, &addr);
	return 0;
}

static __noinline int cong_state_record(void *ctx, struct event *e, __u8 old, __u8 ca_state,
					      __u64 old_ca_state_ns)
{
	struct tcc_cong_state *rec = event_record(e, 0, TCC_EVENT_CONG_STATE, sizeof(*rec));

	if (!rec)
		return 0;
	if (old != CA_IN_SOCKET)
		rec->event.tcp.ca_state = old;
	load_sender(&rec->sender, e);
	rec->old_ca_state_ns = old_ca_state_ns;
	rec->prior_cwnd = e->tp->prior_cwnd;
	rec->prior_ssthresh = e->tp->prior_ssthresh;
	rec->old_ca_state = rec->event.tcp.ca_state;
	rec->new_ca_state = ca_state;
	rec->inferred = old != CA_IN_SOCKET;
	__builtin_memset(rec->unused, 0, sizeof(rec->unused));
	emit_end(ctx, e->n, rec, sizeof(*rec), TCC_EVENT_CONG_STATE);
	return 0;
}

/* As an event it has been counted with the time in the old state. */
static __noinline int observe_ca_state(struct event *e, __u8 ca_state)
{
	observe_load(&e->copy->moment, e->head, e->sk, e->conn);
	return ca_state <= TCP_CA_LOSS ? observe_add(&e->copy->moment, TCC_OBSERVE_CA_STATES + ca_state, 1) : 0;
}

static __noinline int cong_state_change(void *ctx, struct sock *sk, __u8 old, __u8 ca_state, const bool typed)
{
	__u64 since_ns, old_ca_state_ns;
	struct event e;

	if (!event_filter(&e, sk, NULL, TCC_EVENT_CONG_STATE, typed)) {
		cong_state_passed(sk);
		return 0;
	}
	since_ns = e.conn ? e.conn->ca_state_ns : 0;
	old_ca_state_ns = e.conn ? lap(&e.conn->ca_state_ns, e.head->mono_ns) : 0;
	if (AGGREGATES(CONG_STATE))
		cong_state_sum(&e, (__u64)sk, old, ca_state, since_ns);
	if (AGGREGATES(CONG_STATE) && cfg.observe)
		observe_ca_state(&e, ca_state);
	if (RECORDS(CONG_STATE))
		cong_state_record(ctx, &e, old, ca_state, old_ca_state_ns);
	copies_release();
	return 0;
}

/* No change; but the next connection of a socket that tcp_disconnect() has reset does not begin where this one was. */
static __always_inline int cong_state_same(struct sock *sk, __u8 state)
{
	__u64 key = (__u64)sk;
	struct conn *conn = state == TCP_CLOSE ? bpf_map_lookup_elem(&conns, &key) : NULL;

	if (conn)
		conn->ca_state_ns = 0;
	return 0;
}

static __always_inline int on_cong_state(void *ctx, struct sock *sk, __u8 ca_state, const bool typed)
{
	__u8 old = BPF_CORE_READ_BITFIELD_PROBED((struct inet_connection_sock *)sk, icsk_ca_state);
	__u8 state = FOLLOW(typed, sk, __sk_common.skc_state);

	if (old == ca_state || state == TCP_CLOSE)
		return cong_state_same(sk, state);
	return cong_state_change(ctx, sk, CA_IN_SOCKET, ca_state, typed);
}

/* A look. Before the first one it was Open, if the connection's beginning was seen, and else not known. */
static __always_inline int on_cong_seen(void *ctx, struct sock *sk, const bool typed)
{
	struct tcp_sock *tp = typed ? bpf_skc_to_tcp_sock(sk) : (void *)sk;
	struct conn *conn = conn_of((__u64)sk);
	__u8 was, is;

	if (!conn || !tp)
		return 0;
	is = BPF_CORE_READ_BITFIELD_PROBED((struct inet_connection_sock *)tp, icsk_ca_state) + 1;
	was = conn->ca_seen;
	conn->ca_seen = is;
	if (!was && conn->opened_ns)
		was = TCP_CA_OPEN + 1;
	if (!was || was == is)
		return 0;
	return cong_state_change(ctx, sk, was - 1, is - 1, typed);
}

#endif
