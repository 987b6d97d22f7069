/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sock:inet_sock_set_state into CLOSE: keeps the connection's ends and totals for the events that come later.
 *
 * tcp_disconnect() changes the state first and then erases the peer's port, the local address and all counters, before
 * tcp_cong_state_set, inet_sk_error_report and tcp_destroy_sock fire. It is called by close() with SO_LINGER 0 or under
 * TCP_REPAIR, by a blocking connect() that fails, by connect(AF_UNSPEC), for the connections that a listener has not
 * handed out when it closes, and for MPTCP subflows. All of these still have their holder: an orphan needs no entry.
 */
#ifndef __TCC_CLOSED_BPF_H__
#define __TCC_CLOSED_BPF_H__

#include "kernel.h"
#include "event.h"
#include "maps.bpf.h"
#include "closed_maps.bpf.h"
#include "compat.bpf.h"
#include "emit.bpf.h"
#include "sock.bpf.h"
#include "entries.bpf.h"
#include "conn.bpf.h"
#include "events/socket.bpf.h"
#include "events/destroy.bpf.h"

static __always_inline void keep_closed(struct sock *sk, struct tcp_sock *tp, __u64 key)
{
	struct closed_conn closed = {};
	struct tcc_head head;

	load_head(&head, sk, TCC_EVENT_DESTROY, 0, false);
	keep_port(&head, tp, TCC_EVENT_DESTROY);
	__builtin_memcpy(closed.saddr, head.saddr, sizeof(closed.saddr));
	__builtin_memcpy(closed.daddr, head.daddr, sizeof(closed.daddr));
	closed.sport = head.sport;
	closed.dport = head.dport;
	load_tcp_brief(&closed.tcp, tp);
	load_totals(&closed.totals, tp);
	entry_replace(closed_conns, &key, &closed);
}

static __noinline int on_closed_keep(struct sock *sk, int oldstate, int newstate, const bool typed)
{
	__u64 key = (__u64)sk;
	struct copies *copy;

	if (is_first_state(oldstate, newstate) && newstate != TCP_CLOSE) {
		entry_delete(closed_conns, &key);
		return 0;
	}
	if (newstate != TCP_CLOSE || oldstate == TCP_LISTEN || (FOLLOW(typed, sk, __sk_common.skc_flags) & SOCK_DEAD))
		return 0;
	copy = copies_claim();
	if (!copy)
		return 0;
	if (copy_sock(copy, sk))
		keep_closed((void *)copy->sock, (void *)copy->sock, key);
	copies_release();
	return 0;
}

#endif
