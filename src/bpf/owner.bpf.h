/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The handlers that keep `conns` and `listeners` up to date, and the programs that do so for `traced_pids`.
 */
#ifndef __TCC_OWNER_BPF_H__
#define __TCC_OWNER_BPF_H__

#include "kernel.h"
#include "event.h"
#include "config.h"
#include "maps.bpf.h"
#include "closed_maps.bpf.h"
#include "owner_maps.bpf.h"
#include "compat.bpf.h"
#include "mptcp.bpf.h"
#include "sock.bpf.h"
#include "entries.bpf.h"
#include "conn.bpf.h"
#include "filter.bpf.h"

static __always_inline struct listener_key listener_key(struct sock *sk)
{
	struct listener_key key = {};

	if (is_ipv6(BPF_CORE_READ(sk, __sk_common.skc_family)))
		BPF_CORE_READ_INTO(&key.saddr, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
	else
		ipv4_mapped(key.saddr, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
	key.net = (__u64)BPF_CORE_READ(sk, __sk_common.skc_net.net);
	key.sport = BPF_CORE_READ(sk, __sk_common.skc_num);
	return key;
}

static __always_inline void listener_add(struct sock *sk, const struct conn *owner)
{
	struct listener_key key = listener_key(sk);
	struct listener fresh = { .tgid = owner->tgid, .traced = owner->traced };
	struct listener *known;

	/* listen() without bind() reports the state before it chooses the port: a scan finds such a listener later. */
	if (!key.sport)
		return;
	known = bpf_map_lookup_elem(&listeners, &key);
	__builtin_memcpy(fresh.comm, owner->comm, TCC_COMM_LEN);
	if (!known) {
		entry_insert(listeners, &key, &fresh);
		return;
	}
	if (known->tgid != fresh.tgid) {
		known->tgid = 0;
		__builtin_memset(known->comm, 0, TCC_COMM_LEN);
	}
	if (!fresh.traced)
		known->traced = 0;
}

/* Where several listen (SO_REUSEPORT) the others still do. */
static __always_inline void listener_remove(struct sock *sk)
{
	struct listener_key key = listener_key(sk);
	struct listener *known = bpf_map_lookup_elem(&listeners, &key);

	if (known && known->tgid)
		entry_delete(listeners, &key);
}

/* Most listen at any address: of their own family or, for an IPv4 connection, by IPv6. The new socket has its own by now. */
static __always_inline struct listener *listener_of(struct sock *sk)
{
	struct listener_key key = listener_key(sk);
	struct listener *listener = bpf_map_lookup_elem(&listeners, &key);

	if (!listener && is_mapped(key.saddr)) {
		ipv4_mapped(key.saddr, 0);
		listener = bpf_map_lookup_elem(&listeners, &key);
	}
	if (!listener) {
		__builtin_memset(key.saddr, 0, sizeof(key.saddr));
		listener = bpf_map_lookup_elem(&listeners, &key);
	}
	return listener;
}

/* What is known is of an earlier connection of the socket, or of an earlier socket here, whose end was not seen. */
static __always_inline void conn_disown(struct conn *conn)
{
	conn->tgid = 0;
	conn->traced = 0;
	conn->is_listeners = 0;
}

/*
 * A new connection is a copy of its listener, and nobody's until it is accepted. For the filters it is the listener's:
 * `--pid`, `--comm` and `-- CMD` then see it from its first packet. In the records its owner stays unknown.
 */
static __always_inline void conn_from_listener(struct sock *sk)
{
	struct listener *listener = listener_of(sk);
	__u64 key = (__u64)sk;
	struct conn *conn = listener ? conn_of(key) : bpf_map_lookup_elem(&conns, &key);

	if (!conn)
		return;
	if (!listener) {
		conn_disown(conn);
		return;
	}
	conn->tgid = listener->tgid;
	conn->traced = listener->traced;
	conn->is_listeners = 1;
	/* Whoever accepts it will most likely use it soon, and need not be searched for. */
	conn->asks = 1;
	conn->owner_jiffies = bpf_jiffies64();
	__builtin_memcpy(conn->comm, listener->comm, TCC_COMM_LEN);
}

/* Into these only a call of the process's own leads: connect, listen; close and shutdown. */
static __always_inline bool by_owner(int newstate)
{
	return newstate == TCP_SYN_SENT || newstate == TCP_LISTEN || newstate == TCP_FIN_WAIT1 ||
	       newstate == TCP_LAST_ACK;
}

/*
 * Who resets owns it, too: close() with data unread or without lingering, connect(AF_UNSPEC), the last of a process that is
 * killed. There is no error in the socket then, as there is where somebody else ends it (`ss --kill`, bpf_sock_destroy()), and
 * it has a file yet. Without an error the backlog, which anybody may work off, ends only what both sides have closed.
 */
static __always_inline bool reset_by_owner(struct sock *sk, int oldstate, int newstate)
{
	const int closing = 1 << TCP_FIN_WAIT2 | 1 << TCP_LAST_ACK | 1 << TCP_CLOSING;
	struct tcp_sock *tp = (void *)sk;

	if (newstate != TCP_CLOSE || oldstate == TCP_LISTEN || BPF_CORE_READ(sk, sk_err) || !BPF_CORE_READ(sk, sk_socket))
		return false;
	if (!(closing & 1 << (oldstate & 31)))
		return true;
	if (oldstate == TCP_FIN_WAIT2)
		return !(BPF_CORE_READ(sk, __sk_common.skc_flags) & SOCK_DONE);
	return BPF_CORE_READ(tp, snd_una) != BPF_CORE_READ(tp, write_seq);
}

/* Of a subflow only the first that opens shows whose it is. */
static __always_inline bool shows_owner(struct sock *sk, struct mptcp_subflow_context *subflow, const struct conn *conn)
{
	return !subflow || (!owner_known(conn) && first_subflow(subflow) == sk);
}

/*
 * The connection forgets its first subflow when it closes that, often before the others: after that nothing leads from them
 * to the owner.
 */
static __always_inline void owner_to_subflows(struct sock *first, struct mptcp_subflow_context *subflow)
{
	__u64 key = (__u64)first;
	const struct conn *known = bpf_map_lookup_elem(&conns, &key);
	struct sockets all;
	struct conn *conn;

	if (!known || !owner_known(known))
		return;
	all = sockets_of(BPF_CORE_READ(subflow, conn));
	for (int i = 0; i < MAX_SUBFLOWS && all.sk; i++) {
		key = (__u64)all.sk;
		conn = all.sk == first ? NULL : conn_of(key);
		if (conn && !owner_known(conn))
			copy_owner(conn, known);
		sockets_next(&all);
	}
}

static __always_inline void subflow_changes(struct sock *sk, struct mptcp_subflow_context *subflow, int newstate)
{
	struct sock *first = first_subflow(subflow);
	struct conn *conn;

	if (!first)
		return;
	if (first != sk) {
		conn = newstate == TCP_ESTABLISHED ? conn_of((__u64)sk) : NULL;
		if (conn && !owner_known(conn))
			owner_of_subflow(conn, subflow);
	} else if (newstate == TCP_FIN_WAIT1 || newstate == TCP_LAST_ACK || newstate == TCP_CLOSE) {
		owner_to_subflows(sk, subflow);
	}
}

/* Who connects, listens, sends the FIN or resets owns it; else who makes it CLOSE need not. */
static __always_inline void owner_changes_state(struct sock *sk, struct mptcp_subflow_context *subflow, int newstate)
{
	struct conn *conn = conn_of((__u64)sk);

	if (!conn)
		return;
	if (newstate == TCP_SYN_SENT)
		conn_disown(conn);
	if (shows_owner(sk, subflow, conn))
		update_owner(conn, false);
	else if (!owner_known(conn))
		owner_of_subflow(conn, subflow);
	if (newstate == TCP_LISTEN && conn->tgid)
		listener_add(sk, conn);
}

static __noinline int owner_set_state(struct sock *sk, int oldstate, int newstate)
{
	struct mptcp_subflow_context *subflow;

	if (oldstate == TCP_LISTEN && newstate == TCP_SYN_RECV) {
		conn_from_listener(sk);
		return 0;
	}
	if (oldstate == TCP_LISTEN)
		listener_remove(sk);
	subflow = subflow_of_real(sk);
	if ((by_owner(newstate) || reset_by_owner(sk, oldstate, newstate)) && held_by_process(sk, false))
		owner_changes_state(sk, subflow, newstate);
	subflow_changes(sk, subflow, newstate);
	return 0;
}

static __always_inline int on_use(struct sock *sk, const bool typed)
{
	__u64 key = (__u64)sk;
	struct conn *conn;

	if (!held_by_process(sk, typed))
		return 0;
	conn = bpf_map_lookup_elem(&conns, &key);
	if (conn)
		update_owner(conn, true);
	return 0;
}

/*
 * Most writes of a bulk sender find data unsent. Learning the owner from each would be most of the cost of the write, so this
 * allows ten a second for each socket. The first write of a connection finds nothing unsent, and is always used.
 */
static __always_inline bool owner_check_due(struct sock *sk, const bool typed)
{
	__u32 place = FOLLOW(typed, sk, __sk_common.skc_hash) % OWNER_CHECKS;
	struct owner_check *last = bpf_map_lookup_elem(&owner_checks, &place);
	__u64 now = bpf_jiffies64();

	if (!last || (last->sk == (__u64)sk && now - last->jiffies < OWNER_CHECK))
		return false;
	last->sk = (__u64)sk;
	last->jiffies = now;
	return true;
}

static __always_inline void conn_gone(__u64 key)
{
	struct conn *conn = bpf_map_lookup_elem(&conns, &key);
	struct gone_conn *gone;
	__u32 zero = 0;

	gone = bpf_map_lookup_elem(&gone_conns, &zero);
	if (!gone)
		return;
	gone->sk = conn ? key : 0;
	if (conn)
		gone->conn = *conn;
}

static __noinline int conn_destroy(struct sock *sk)
{
	__u64 key = conn_key(sk, BPF_CORE_READ(sk, __sk_common.skc_cookie.counter));
	__u64 addr = (__u64)sk;

	if (cfg.keep_gone)
		conn_gone(key);
	entry_delete(conns, &key);
	if (cfg.trackers & TCC_TRACK_CLOSED)
		entry_delete(closed_conns, &addr);
	return 0;
}

SEC("raw_tp/sched_process_fork")
int BPF_PROG(sched_process_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 tgid = BPF_CORE_READ(parent, tgid), child_tgid = BPF_CORE_READ(child, tgid);
	__u32 zero = 0, *refused;
	__u8 one = 1;

	if (tgid == child_tgid || !is_traced_pid(tgid) || !bpf_map_update_elem(&traced_pids, &child_tgid, &one, BPF_ANY))
		return 0;
	refused = bpf_map_lookup_elem(&traced_pids_refused, &zero);
	if (refused)
		__sync_fetch_and_add(refused, 1);
	return 0;
}

/* Only with a process's last thread; its connections keep their mark. */
SEC("raw_tp/sched_process_exit")
int BPF_PROG(sched_process_exit, struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid);

	if (!BPF_CORE_READ(task, signal, live.counter))
		bpf_map_delete_elem(&traced_pids, &tgid);
	return 0;
}

/* The tracer itself, whose children are traced: by the number that it has outside of all pid namespaces. */
static __always_inline void tree_root(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u8 one = 1;

	if (!bpf_map_lookup_elem(&traced_pids, &tgid))
		bpf_map_update_elem(&traced_pids, &tgid, &one, BPF_ANY);
}

static __always_inline void tracer_is_current(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 zero = 0;
	__u64 *exe = bpf_map_lookup_elem(&tracer_exe, &zero);

	if (exe && !*exe)
		*exe = exe_of(task);
}

/* The socket of TCP or MPTCP that an open file is, if it is one. */
static __always_inline struct sock *stream_of_file(struct task_struct *task, struct file *file)
{
	struct socket *socket;
	struct sock *sk;

	if (!task || !file)
		return NULL;
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK ||
	    BPF_CORE_READ(file, f_inode, i_sb, s_magic) != SOCKFS_MAGIC)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	return sk && (is_tcp(sk) || is_mptcp(sk)) ? sk : NULL;
}

/* A socket has no cookie until somebody requests it. The verifier accepts a socket from its file, not from its address. */
static __always_inline void cookie_of_file(struct file *file)
{
	struct socket *socket;

	if (!cfg.cookie_helper || !file)
		return;
	socket = bpf_sock_from_file(file);
	if (socket && socket->sk)
		bpf_get_socket_cookie(socket->sk);
}

/*
 * The state kept for the TCP socket of an open file, its owner included. Of several holders the first in pid order is
 * taken until one of them is seen using the socket. The file is held while the iterator runs, so the socket cannot go and
 * its address cannot be another's; a subflow may, and is then another connection's until the next scan.
 */
static __always_inline struct conn *owner_found(struct task_struct *task, struct sock *sk)
{
	struct conn *conn = conn_of((__u64)sk);

	if (conn && (!conn->tgid || conn->is_listeners))
		conn_set_owner(conn, task);
	return conn;
}

/*
 * Every open file of every process: who holds which TCP socket. Run once at the start for the connections that were
 * there before, and again when the owner of a sample is unknown.
 */
SEC("iter/task_file")
int owner_iter(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct sock *stream = stream_of_file(task, ctx->file);
	struct conn *conn;
	struct sock *sk;

	tracer_is_current();
	if (cfg.filters & TCC_FILTER_TRACED_PIDS)
		tree_root();
	if (!task || !stream)
		return 0;
	sk = socket_of_turn(stream);
	if (!sk)
		return 0;
	conn = owner_found(task, sk);
	if (conn && BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_LISTEN)
		listener_add(sk, conn);
	return 0;
}

#endif
