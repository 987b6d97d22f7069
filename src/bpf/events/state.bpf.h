/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* sock:inet_sock_set_state: a connection changes its TCP state. The socket still holds the old one. */
#ifndef __TCC_STATE_BPF_H__
#define __TCC_STATE_BPF_H__

#include "kernel.h"
#include "event.h"
#include "maps.bpf.h"
#include "conn.bpf.h"
#include "observe.bpf.h"
#include "events/socket.bpf.h"

/*
 * Time in the old state, where its beginning was seen; from now on the new one's. A socket enters its first state when
 * it is created, which no hook sees: an entry under its address would be an earlier socket's.
 */
static __always_inline __u64 state_time(struct conn *conn, int oldstate, int newstate, __u64 now)
{
	if (!conn)
		return 0;
	if (is_first_state(oldstate, newstate))
		conn->state_ns = 0;
	return lap(&conn->state_ns, now);
}

/* One that is not shown ends a state, too. */
static __always_inline void state_passed(struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct conn *conn = cfg.track_conn ? bpf_map_lookup_elem(&conns, &key) : NULL;

	if (conn && conn->state_ns)
		conn->state_ns = bpf_ktime_get_ns();
}

static __noinline int state_record(void *ctx, struct event *e, struct sock *sk, int oldstate, int newstate)
{
	struct tcc_state *rec = event_record(e, 0, TCC_EVENT_STATE, sizeof(*rec));

	if (!rec) {
		state_passed(sk);
		return 0;
	}
	/* Before the new socket has its peer it has the listener's cookie, too (up to 6.12 at least). */
	if (oldstate == TCP_LISTEN && newstate == TCP_SYN_RECV && !rec->event.head.dport)
		rec->event.head.cookie = 0;
	load_sender(&rec->sender, e);
	rec->old_state_ns = state_time(e->conn, oldstate, newstate, rec->event.head.mono_ns);
	rec->old_state = oldstate;
	rec->new_state = newstate;
	__builtin_memset(rec->unused, 0, sizeof(rec->unused));
	emit_end(ctx, e->n, rec, sizeof(*rec), TCC_EVENT_STATE);
	return 0;
}

static __noinline int on_state(void *ctx, struct sock *sk, int oldstate, int newstate, const bool typed)
{
	struct event e;

	if (!event_filter(&e, sk, NULL, TCC_EVENT_STATE, typed)) {
		state_passed(sk);
		return 0;
	}
	if (AGGREGATES(STATE))
		observe_state(&e, sk, oldstate, newstate);
	if (RECORDS(STATE))
		state_record(ctx, &e, sk, oldstate, newstate);
	copies_release();
	return 0;
}

#endif
