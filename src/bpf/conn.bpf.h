/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * State kept per connection, above all its owner.
 *
 * In softirq the current task is whoever was interrupted, and even who holds the socket's lock may be a bystander (ss
 * reads struct tcp_info under it, and works off the backlog when it lets go). So an owner is learnt only where a process
 * does something with its socket: connects, listens, sends, receives. sk_lock.owned shows that it is a process,
 * as only lock_sock() sets it; kernel users of the same functions run in softirq or as kernel threads.
 * For a socket that no hook saw (one that only sends, before 6.16), the reader is requested to run the task_file iterator.
 */
#ifndef __TCC_CONN_BPF_H__
#define __TCC_CONN_BPF_H__

#include "kernel.h"
#include "event.h"
#include "config.h"
#include "maps.bpf.h"
#include "owner_maps.bpf.h"
#include "compat.bpf.h"
#include "mptcp.bpf.h"
#include "entries.bpf.h"

#define OWNER_FRESH cfg.hz
#define OWNER_CHECK (cfg.hz / 10)
#define OWNER_ASK (cfg.hz / 10)
#define OWNER_MAX_ASKS 8

/* Not every socket of that number is TCP: netlink counts its protocols too. */
static __always_inline bool is_tcp(struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	return (family == AF_INET || family == AF_INET6) &&
	       BPF_CORE_READ_BITFIELD_PROBED(sk, sk_protocol) == IPPROTO_TCP &&
	       BPF_CORE_READ_BITFIELD_PROBED(sk, sk_type) == SOCK_STREAM;
}

/* A socket's first change of state: it connects or listens, or it is the copy that its listener has made for a peer. */
static __always_inline bool is_first_state(int oldstate, int newstate)
{
	return oldstate == TCP_CLOSE || (oldstate == TCP_LISTEN && newstate == TCP_SYN_RECV);
}

static __always_inline __u64 conn_key(struct sock *sk, __u64 cookie)
{
	return cfg.key_by_cookie ? cookie : (__u64)sk;
}

/* The entry, made if need be; NULL only where the map refuses. */
static __always_inline struct conn *conn_of(__u64 key)
{
	struct conn *conn = bpf_map_lookup_elem(&conns, &key);

	if (conn)
		return conn;
	entry_insert(conns, &key, (const void *)&no_conn);
	return bpf_map_lookup_elem(&conns, &key);
}

/* Time since `since`, which is 0 where it was not seen, and from now on counts anew. */
static __always_inline __u64 lap(__u64 *since, __u64 now)
{
	__u64 last = *since;

	*since = now;
	return last && now > last ? now - last : 0;
}

static __always_inline bool is_traced_pid(__u32 tgid)
{
	return (cfg.filters & TCC_FILTER_TRACED_PIDS) && bpf_map_lookup_elem(&traced_pids, &tgid);
}

/* The command's name is the thread group's, as in ps and ss, and not that of a worker thread. */
static __always_inline void conn_set_owner(struct conn *conn, struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid);
	__u8 comm[TCC_COMM_LEN] = {};

	if (is_traced_pid(tgid))
		conn->traced = 1;
	conn->is_listeners = 0;
	conn->owner_jiffies = bpf_jiffies64();
	conn->tgid = tgid;
	/* As a string: on 5.10 the end of a longer, older name stands behind the NUL, and the filter compares all bytes. */
	BPF_CORE_READ_STR_INTO(&comm, task, group_leader, comm);
	__builtin_memcpy(conn->comm, comm, TCC_COMM_LEN);
}

static __always_inline bool held_by_process(struct sock *sk, const bool typed)
{
	return FOLLOW(typed, sk, sk_lock.owned);
}

static __always_inline __u64 exe_of(struct task_struct *task)
{
	return (__u64)BPF_CORE_READ(task, mm, exe_file, f_inode);
}

/*
 * The task_file iterator holds each file that it is at. When the last of its processes closes it just then, the iterator's
 * reader closes the socket, on its way back from read(): we do, or another tcc-trace, which runs the same file.
 */
static __always_inline bool is_tracer(struct task_struct *task)
{
	__u32 zero = 0;
	__u64 *exe = bpf_map_lookup_elem(&tracer_exe, &zero);

	return exe && *exe && *exe == exe_of(task);
}

/*
 * The current task uses the socket: it is the owner, unless it is the kernel itself (NFS, in-kernel TLS …). `sure`: the task
 * sent or received; otherwise a tracer may only have closed a file that it iterated over.
 */
static __always_inline void update_owner(struct conn *conn, const bool sure)
{
	struct task_struct *task;

	if (conn->tgid == (__u32)(bpf_get_current_pid_tgid() >> 32) && !conn->is_listeners &&
	    bpf_jiffies64() - conn->owner_jiffies < OWNER_FRESH)
		return;
	task = (void *)bpf_get_current_task();
	if (BPF_CORE_READ(task, flags) & PF_KTHREAD || (!sure && is_tracer(task)))
		return;
	conn_set_owner(conn, task);
}

static __always_inline bool owner_known(const struct conn *conn)
{
	return conn->tgid && !conn->is_listeners;
}

static __always_inline void copy_owner(struct conn *conn, const struct conn *known)
{
	conn->is_listeners = 0;
	if (known->traced)
		conn->traced = 1;
	conn->owner_jiffies = bpf_jiffies64();
	conn->tgid = known->tgid;
	__builtin_memcpy(conn->comm, known->comm, TCC_COMM_LEN);
}

/*
 * No process uses a subflow itself, and those after the first are opened and closed by the kernel, also in the context of
 * whoever changes an endpoint (`ip mptcp`). They belong to the process of their connection, which the first was seen with.
 */
static __always_inline void owner_of_subflow(struct conn *conn, struct mptcp_subflow_context *subflow)
{
	__u64 first = (__u64)first_subflow(subflow);
	const struct conn *known = first ? bpf_map_lookup_elem(&conns, &first) : NULL;

	if (known && known != conn && owner_known(known))
		copy_owner(conn, known);
}

/*
 * Where the owner is not known: ask the reader to look through the processes' files, soon at first, then ever more
 * rarely, then no more (an orphan has none).
 */
static __always_inline void request_owner_scan(struct conn *conn, struct tcp_sock *tp)
{
	__u32 zero = 0, *requests;
	__u64 now;

	if (owner_known(conn))
		return;
	owner_of_subflow(conn, subflow_of(tp));
	if (owner_known(conn))
		return;
	now = bpf_jiffies64();
	if (conn->asks >= OWNER_MAX_ASKS || (conn->asks && now - conn->owner_jiffies < (__u64)OWNER_ASK << conn->asks))
		return;
	conn->asks += 1;
	conn->owner_jiffies = now;
	requests = bpf_map_lookup_elem(&owner_scan_requests, &zero);
	if (requests)
		__sync_fetch_and_add(requests, 1);
}

static __always_inline void load_owner(struct tcc_owner *out, struct sock *sk, struct conn *conn, __u32 ifindex,
				       const bool typed)
{
	bool known = conn && owner_known(conn);

	out->cgroup_id = sock_cgroup_id(sk, typed);
	out->ino = FOLLOW(typed, sk, sk_socket, file, f_inode, i_ino);
	out->netns = FOLLOW(typed, sk, __sk_common.skc_net.net, ns.inum);
	out->ifindex = ifindex;
	out->bound_dev_if = sk->__sk_common.skc_bound_dev_if;
	out->unused = 0;
	out->uid = sk->sk_uid.val;
	out->pid = known ? conn->tgid : 0;
	if (known)
		__builtin_memcpy(out->comm, conn->comm, TCC_COMM_LEN);
	else
		__builtin_memset(out->comm, 0, TCC_COMM_LEN);
}

#endif
