/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A process takes an established connection from its listener. TCP has no tracepoint for that, so the system
 * calls accept and accept4 are traced, by classic tracepoints, and for io_uring, which makes no call, the end of its request. Who
 * accepts by neither (a 32-bit process, a direct descriptor of io_uring) is seen when the connection is read from, or ends.
 */
#ifndef __TCC_ACCEPT_BPF_H__
#define __TCC_ACCEPT_BPF_H__

#include "kernel.h"
#include "event.h"
#include "lifecycle.h"
#include "summary.h"
#include "maps.bpf.h"
#include "mptcp.bpf.h"
#include "entries.bpf.h"
#include "conn.bpf.h"
#include "key.bpf.h"
#include "histogram.bpf.h"
#include "owner.bpf.h"
#include "programs.bpf.h"
#include "events/socket.bpf.h"

/* Who is in accept(), on which listener; inserted as it begins, removed as it ends. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, __u64); /* thread */
	__type(value, __u64); /* the listener, which the call holds */
} accepting SEC(".maps");

/* Of MPTCP it is the first subflow that is accepted, and the first that listens. */
static __always_inline struct sock *sock_of(struct sock *sk)
{
	return sk && is_mptcp(sk) ? BPF_CORE_READ((struct mptcp_sock *)sk, first) : sk;
}

static __always_inline struct sock *sock_of_fd(int fd)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd), *file = NULL;

	if (fd < 0 || (__u32)fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	if (bpf_probe_read_kernel(&file, sizeof(file), files + fd))
		return NULL;
	return sock_of(stream_of_file(task, file));
}

static __always_inline void accept_begins(int fd)
{
	__u64 thread = bpf_get_current_pid_tgid(), listener = (__u64)sock_of_fd(fd);

	if (listener)
		entry_replace(accepting, &thread, &listener);
}

static __always_inline __u64 wait_ns(const struct conn *conn, __u64 now)
{
	return conn && conn->established_ns ? now - conn->established_ns : 0;
}

/* `late`: some time after it, and how long is not known. */
static __always_inline bool accepted_soon(const struct conn *conn, bool late)
{
	__u64 waited_ns = late ? 0 : wait_ns(conn, bpf_ktime_get_ns());

	if (!cfg.min_ns)
		return false;
	return waited_ns < cfg.min_ns && (!conn || conn->handshake_us * 1000ULL < cfg.min_ns);
}

static __always_inline void load_accept(struct tcc_accept *out, struct conn *conn, struct sock *listener, bool late)
{
	out->wait_ns = late ? 0 : wait_ns(conn, out->event.head.mono_ns);
	out->handshake_us = conn ? conn->handshake_us : 0;
	out->backlog = BPF_CORE_READ(listener, sk_ack_backlog);
	out->max_backlog = BPF_CORE_READ(listener, sk_max_ack_backlog);
	out->has_listener = listener != NULL;
	__builtin_memset(out->unused, 0, sizeof(out->unused));
}

static __noinline int accept_count(struct event *e, bool late)
{
	struct tcc_key key = {};
	bool own;

	load_key(&key, e->head, e->sk, e->tp, e->conn, false, true);
	own = histogram_time(&key, TCC_VALUE_WAIT, late ? 0 : wait_ns(e->conn, e->head->mono_ns));
	own &= histogram_time(&key, TCC_VALUE_HANDSHAKE, e->conn ? e->conn->handshake_us * 1000ULL : 0);
	return event_aggregated(e, own);
}

static __noinline int accept_record(void *ctx, struct event *e, struct sock *listener, bool late)
{
	struct tcc_accept *rec = event_record(e, 0, TCC_EVENT_ACCEPT, sizeof(*rec));

	if (!rec)
		return 0;
	load_accept(rec, e->conn, listener, late);
	emit_end(ctx, e->n, rec, sizeof(*rec), TCC_EVENT_ACCEPT);
	return 0;
}

static __noinline int accepted(void *ctx, struct sock *sk, struct sock *listener, bool late)
{
	struct conn *conn = conn_of((__u64)sk);
	struct event e;

	if (conn)
		conn->accepted = 1;
	if (conn && cfg.track_owner && !late)
		update_owner(conn, true);
	if (accepted_soon(conn, late)) {
		event_filtered(TCC_EVENT_ACCEPT);
		return 0;
	}
	if (!event_filter(&e, sk, NULL, TCC_EVENT_ACCEPT, false))
		return 0;
	if (AGGREGATES(ACCEPT))
		accept_count(&e, late);
	if (RECORDS(ACCEPT))
		accept_record(ctx, &e, listener, late);
	copies_release();
	return 0;
}

static __always_inline void accept_ends(void *ctx, long fd)
{
	__u64 thread = bpf_get_current_pid_tgid(), *entered;
	struct sock *listener = NULL, *sk;

	entered = bpf_map_lookup_elem(&accepting, &thread);
	if (entered) {
		listener = (void *)*entered;
		entry_delete(accepting, &thread);
	}
	sk = fd < 0 || !reader.started ? NULL : sock_of_fd(fd);
	if (sk)
		accepted(ctx, sk, listener, false);
}

static __always_inline void run_sys_enter_accept(struct syscall_trace_enter *ctx)
{
	accept_begins(ctx->args[0]);
}
CLASSIC_PROGRAM("syscalls/sys_enter_accept", sys_enter_accept, struct syscall_trace_enter)

static __always_inline void run_sys_enter_accept4(struct syscall_trace_enter *ctx)
{
	accept_begins(ctx->args[0]);
}
CLASSIC_PROGRAM("syscalls/sys_enter_accept4", sys_enter_accept4, struct syscall_trace_enter)

static __always_inline void run_sys_exit_accept(struct syscall_trace_exit *ctx)
{
	accept_ends(ctx, ctx->ret);
}
CLASSIC_PROGRAM("syscalls/sys_exit_accept", sys_exit_accept, struct syscall_trace_exit)

static __always_inline void run_sys_exit_accept4(struct syscall_trace_exit *ctx)
{
	accept_ends(ctx, ctx->ret);
}
CLASSIC_PROGRAM("syscalls/sys_exit_accept4", sys_exit_accept4, struct syscall_trace_exit)

/* A process holds it that was not seen to take it, since it came about. Nobody accepts a subflow but the first. */
static __always_inline bool is_taken(struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct conn *conn = bpf_map_lookup_elem(&conns, &key);
	struct sock *first;

	if (!conn || !conn->established_ns || conn->active || conn->accepted)
		return false;
	if (!BPF_CORE_READ(sk, sk_socket, file))
		return false;
	first = first_subflow(subflow_of_real(sk));
	return !first || first == sk;
}

/* It is a request's new descriptor, and not a direct one's number that a descriptor has as well: it was nobody's yet. */
static __always_inline bool is_from(struct sock *sk, struct sock *listener)
{
	__u64 key = (__u64)sk;
	struct conn *conn = bpf_map_lookup_elem(&conns, &key);

	if (!listener || BPF_CORE_READ(sk, __sk_common.skc_num) != BPF_CORE_READ(listener, __sk_common.skc_num))
		return false;
	return !conn || (!owner_known(conn) && !conn->accepted);
}

/*
 * The end of any request of io_uring's: `res` of an accept is the new descriptor, or the slot of a direct one. A multishot
 * request, and kernels before 5.18 (502c87d65564), do not say what was requested; then it is enough that there is a connection
 * that nobody was seen to take.
 */
static __always_inline void run_io_uring_complete(struct trace_event_raw_io_uring_complete *ctx)
{
	struct io_kiocb *req = NULL;
	struct sock *listener = NULL, *sk;
	__s64 fd;

	/* An int since 5.17 (a37fae8aaa62). */
	if (bpf_core_field_size(ctx->res) == sizeof(fd))
		fd = ((struct trace_event_raw_io_uring_complete___5_16 *)ctx)->res;
	else
		fd = ctx->res;
	if (fd < 0 || !reader.started)
		return;
	if (bpf_core_field_exists(ctx->req))
		req = ctx->req;
	if (req && BPF_CORE_READ(req, opcode) != IORING_OP_ACCEPT)
		return;
	sk = sock_of_fd(fd);
	if (!sk)
		return;
	if (req)
		listener = sock_of(stream_of_file((void *)bpf_get_current_task(), BPF_CORE_READ(req, file)));
	if (is_taken(sk) || is_from(sk, listener))
		accepted(ctx, sk, listener, false);
}
CLASSIC_PROGRAM("io_uring/io_uring_complete", io_uring_complete, struct trace_event_raw_io_uring_complete)

static __always_inline int on_accept_used(void *ctx, struct sock *sk)
{
	return is_taken(sk) ? accepted(ctx, sk, NULL, true) : 0;
}

/* Of one that was not read from before. A process closes it (a FIN, or a RST), or it has ended before that. */
static __always_inline int on_accept_state(void *ctx, struct sock *sk, int newstate)
{
	if (newstate != TCP_FIN_WAIT1 && newstate != TCP_LAST_ACK && newstate != TCP_CLOSE)
		return 0;
	return on_accept_used(ctx, sk);
}

#endif
