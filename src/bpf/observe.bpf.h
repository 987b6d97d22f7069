/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Adds up events by key, for `observe`; and what connections transfer, which costs a packet nothing: sockets count that themselves. What
 * a socket's counters have grown by is added where the connection closes, at its end, and each time that the iterator reads all
 * connections.
 *
 * The iterator does not hold the socket's lock, so an event may find it at work on the same connection. Whoever inserts the socket's
 * address into `observe_busy` has the connection to itself. An event cannot wait: it leaves what it has in `observe_left`, and the
 * iterator looks there after it has given the lock back.
 */
#ifndef __TCC_OBSERVE_BPF_H__
#define __TCC_OBSERVE_BPF_H__

#include "kernel.h"
#include "observe.h"
#include "observe_maps.bpf.h"
#include "maps.bpf.h"
#include "compat.bpf.h"
#include "sock.bpf.h"
#include "conn.bpf.h"
#include "key.bpf.h"
#include "observe_rows.bpf.h"
#include "observe_limits.bpf.h"
#include "events/socket.bpf.h"

/* States of a connection that is established, or was. */
#define OBSERVE_OPEN                                                                                                    \
	(1 << TCP_ESTABLISHED | 1 << TCP_FIN_WAIT1 | 1 << TCP_FIN_WAIT2 | 1 << TCP_CLOSE_WAIT | 1 << TCP_LAST_ACK |    \
	 1 << TCP_CLOSING)

static __always_inline bool observe_state_in(__u32 states, int state)
{
	return states >> (state & 31) & 1;
}

static __noinline int observe_add(const struct tcc_observe_moment *moment, __u32 index, __u64 value)
{
	struct tcc_observed *row;
	bool own;

	row = observed_of(moment, &own);
	/* Compared where it is used: of what callers know of its bounds, the verifier sees nothing. */
	barrier_var(index);
	if (row && index < TCC_OBSERVE_SUMS)
		OBSERVE(row, index, value);
	return own;
}

/* The event is counted in its row. */
static __always_inline int observe_event(struct event *e)
{
	return event_aggregated(e, observe_add(&e->copy->moment, TCC_OBSERVE_EVENTS, 1));
}

/* It adds nothing, and needs no row. */
static __always_inline int observe_aside(struct event *e)
{
	__u32 aside = OBSERVED_ASIDE;
	struct tcc_observed *row = bpf_map_lookup_elem(&observed_rest, &aside);

	if (row)
		OBSERVE(row, TCC_OBSERVE_EVENTS, 1);
	return event_aggregated(e, true);
}

static __noinline int observe_reason(struct tcc_key *key, __u32 of, __u32 reason)
{
	__u64 none = 0, *count;

	key->value = of;
	key->reason = reason;
	count = bpf_map_lookup_elem(&observed_reasons, key);
	if (!count) {
		bpf_map_update_elem(&observed_reasons, key, &none, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&observed_reasons, key);
	}
	if (!count)
		count = bpf_map_lookup_elem(&observed_reasons_rest, &of);
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

/* `tp` is a copy. */
static __always_inline void observe_load_totals(struct tcc_observe_totals *out, struct tcp_sock *tp)
{
	out->bytes_sent = LOAD_IF(tp, bytes_sent); /* 4.19 */
	out->bytes_retrans = LOAD_IF(tp, bytes_retrans); /* 4.19 */
	out->bytes_acked = tp->bytes_acked;
	out->bytes_received = tp->bytes_received;
	out->segs_out = tp->segs_out;
	out->segs_in = tp->segs_in;
	out->data_segs_out = tp->data_segs_out;
	out->data_segs_in = tp->data_segs_in;
}

/* `sk` and `tp` are copies. */
static __noinline int observe_load(struct tcc_observe_moment *out, const struct tcc_head *head, struct sock *sk, const struct conn *conn)
{
	__builtin_memset(&out->key, 0, sizeof(out->key));
	load_key(&out->key, head, sk, (void *)sk, conn, false, true);
	out->cookie = head->cookie;
	observe_load_totals(&out->totals, (void *)sk);
	return 0;
}

/* tcp_disconnect() sets all counters to zero, for the next connection of the socket. */
static __always_inline bool observe_erased(const struct tcc_observe_totals *now, const struct tcc_observe_totals *base)
{
	if (now->bytes_acked < base->bytes_acked || now->bytes_received < base->bytes_received)
		return true;
	/* Of one that was not established; segments wrap. */
	return now->bytes_acked == base->bytes_acked && now->bytes_received == base->bytes_received &&
	       (__s32)(now->segs_out - base->segs_out) < 0;
}

/* By whoever has the connection. */
static __noinline int observe_take(const struct tcc_observe_moment *moment, __u64 sk, __u64 ends)
{
	struct observed_conn *conn = bpf_map_lookup_elem(&observed_conns, &sk);
	const struct tcc_observe_totals *now = &moment->totals;
	struct tcc_observed *row;
	bool own;

	row = observed_of(moment, &own);
	if (!row)
		return 0;
	if (!conn) {
		if (ends)
			OBSERVE(row, TCC_OBSERVE_UNTRACKED, 1);
		return 0;
	}
	if (OBSERVES_LIMITS)
		observe_limits_take(moment, sk, ends);
	if (observe_erased(now, &conn->base))
		__builtin_memset(&conn->base, 0, sizeof(conn->base));
	OBSERVE(row, TCC_OBSERVE_BYTES_SENT, now->bytes_sent - conn->base.bytes_sent);
	OBSERVE(row, TCC_OBSERVE_BYTES_RETRANS, now->bytes_retrans - conn->base.bytes_retrans);
	OBSERVE(row, TCC_OBSERVE_BYTES_ACKED, now->bytes_acked - conn->base.bytes_acked);
	OBSERVE(row, TCC_OBSERVE_BYTES_RECEIVED, now->bytes_received - conn->base.bytes_received);
	OBSERVE(row, TCC_OBSERVE_SEGS_OUT, (__u32)(now->segs_out - conn->base.segs_out));
	OBSERVE(row, TCC_OBSERVE_SEGS_IN, (__u32)(now->segs_in - conn->base.segs_in));
	OBSERVE(row, TCC_OBSERVE_DATA_SEGS_OUT, (__u32)(now->data_segs_out - conn->base.data_segs_out));
	OBSERVE(row, TCC_OBSERVE_DATA_SEGS_IN, (__u32)(now->data_segs_in - conn->base.data_segs_in));
	conn->base = *now;
	if (ends)
		bpf_map_delete_elem(&observed_conns, &sk);
	return 0;
}

static __always_inline bool observe_lock(__u64 sk)
{
	__u8 held = 1;

	return !bpf_map_update_elem(&observe_busy, &sk, &held, BPF_NOEXIST);
}

static __always_inline void observe_unlock(__u64 sk)
{
	bpf_map_delete_elem(&observe_busy, &sk);
}

static __noinline int observe_take_left(__u64 sk, __u64 ends)
{
	struct observe_left_key key = { .sk = sk, .ends = ends };
	struct tcc_observe_moment *moment = bpf_map_lookup_elem(&observe_left, &key);

	if (!moment)
		return 0;
	observe_take(moment, sk, ends);
	bpf_map_delete_elem(&observe_left, &key);
	return 0;
}

/* What was left is added by whoever has the connection last. */
static __noinline int observe_settle(__u64 sk)
{
	struct observe_left_key at_close = { .sk = sk }, at_end = { .sk = sk, .ends = 1 };

	if (!bpf_map_lookup_elem(&observe_left, &at_close) && !bpf_map_lookup_elem(&observe_left, &at_end))
		return 0;
	if (!observe_lock(sk))
		return 0;
	observe_take_left(sk, 0);
	observe_take_left(sk, 1);
	observe_unlock(sk);
	return 0;
}

static __noinline int observe_transfer(const struct tcc_observe_moment *moment, __u64 sk, __u64 ends)
{
	struct observe_left_key key = { .sk = sk, .ends = ends };

	if (observe_lock(sk)) {
		observe_take(moment, sk, ends);
		observe_unlock(sk);
		return 0;
	}
	bpf_map_update_elem(&observe_left, &key, moment, BPF_ANY);
	return observe_settle(sk);
}

/* A connection begins. Its socket may have had another before. */
static __noinline int on_observe_begin(struct sock *sk, int oldstate, int newstate)
{
	struct observed_conn fresh = { .active = newstate == TCP_SYN_SENT }, *conn;
	__u64 key = (__u64)sk;

	if (!is_first_state(oldstate, newstate) || newstate == TCP_LISTEN || newstate == TCP_CLOSE)
		return 0;
	if (!bpf_map_update_elem(&observed_conns, &key, &fresh, BPF_NOEXIST) || !observe_lock(key))
		return 0;
	conn = bpf_map_lookup_elem(&observed_conns, &key);
	if (conn)
		*conn = fresh;
	observe_unlock(key);
	return 0;
}

/* Of one whose end the filters have kept from being added. */
static __noinline int on_observe_end(struct sock *sk)
{
	__u64 key = (__u64)sk;

	if (!bpf_map_lookup_elem(&observed_conns, &key) || !observe_lock(key))
		return 0;
	bpf_map_delete_elem(&observed_conns, &key);
	if (OBSERVES_LIMITS)
		bpf_map_delete_elem(&observed_limits, &key);
	observe_unlock(key);
	return 0;
}

static __always_inline bool observe_is_active(struct sock *real)
{
	__u64 key = (__u64)real;
	const struct observed_conn *conn = bpf_map_lookup_elem(&observed_conns, &key);

	return conn && conn->active;
}

/*
 * Opens are counted where the handshake ends: before that, one that connects has no local port yet, and one that is accepted may not
 * have its peer.
 */
static __noinline int observe_state(struct event *e, struct sock *real, int oldstate, int newstate)
{
	struct tcc_observe_moment *moment = &e->copy->moment;
	bool opens = oldstate == TCP_SYN_SENT || (oldstate == TCP_SYN_RECV && !observe_is_active(real));

	if (!opens && newstate != TCP_ESTABLISHED && newstate != TCP_CLOSE)
		return observe_aside(e);
	if (oldstate == TCP_LISTEN)
		return observe_aside(e);
	observe_load(moment, e->head, e->sk, e->conn);
	if (opens)
		observe_add(moment, oldstate == TCP_SYN_SENT ? TCC_OBSERVE_ACTIVE_OPENS : TCC_OBSERVE_PASSIVE_OPENS, 1);
	if (newstate == TCP_ESTABLISHED)
		observe_add(moment, TCC_OBSERVE_ESTABLISHED, 1);
	if (newstate == TCP_CLOSE) {
		if (observe_state_in(OBSERVE_OPEN, oldstate))
			observe_add(moment, TCC_OBSERVE_CLOSED, 1);
		else
			observe_add(moment, TCC_OBSERVE_FAILED, 1);
		if (oldstate == TCP_ESTABLISHED || oldstate == TCP_CLOSE_WAIT)
			observe_add(moment, TCC_OBSERVE_ABORTED, 1);
		if (OBSERVES_LIMITS)
			observe_limits_load(moment, (__u64)real);
		observe_transfer(moment, (__u64)real, 0);
	}
	return observe_event(e);
}

static __noinline int observe_destroy(struct event *e, struct sock *real)
{
	observe_load(&e->copy->moment, e->head, e->sk, e->conn);
	if (OBSERVES_LIMITS)
		observe_limits_load(&e->copy->moment, (__u64)real);
	/* One that never connected has transferred nothing. */
	if (e->head->dport || e->closed)
		observe_transfer(&e->copy->moment, (__u64)real, 1);
	else
		return observe_aside(e);
	return observe_event(e);
}

/* An event of which each segment counts. */
static __noinline int observe_count(struct event *e, __u32 index, __u64 value)
{
	observe_load(&e->copy->moment, e->head, e->sk, e->conn);
	observe_add(&e->copy->moment, index, value);
	return observe_event(e);
}

#endif
