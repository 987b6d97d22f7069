/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When a connection began: for the kinds whose records tell how long something took. These hooks run before the programs
 * that make the records.
 */
#ifndef __TCC_HISTORY_BPF_H__
#define __TCC_HISTORY_BPF_H__

/* A connection begins, perhaps under the address of an earlier socket, or of one that connects again. */
static __always_inline void history_begin(struct conn *conn, int newstate)
{
	conn->opened_ns = bpf_ktime_get_ns();
	conn->flags &= ~CONN_ACTIVE;
	if (newstate == TCP_SYN_SENT)
		conn->flags |= CONN_ACTIVE;
}

static __always_inline int on_conn_state(struct sock *sk, int oldstate, int newstate, const bool typed)
{
	struct conn *conn;

	if (!is_tcp(sk) || !is_first_state(oldstate, newstate) || newstate == TCP_LISTEN)
		return 0;
	conn = conn_of((__u64)sk);
	if (conn)
		history_begin(conn, newstate);
	return 0;
}

TRACEPOINT(inet_sock_set_state, conn_state, on_conn_state, (struct sock *sk, int oldstate, int newstate),
	   (sk, oldstate, newstate))

#endif
