/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A process takes an established connection from its listener. No tracepoint of TCP's tells that, so it is the system
 * calls accept and accept4, by classic tracepoints. Those do not see 32-bit processes, nor io_uring, which makes no call.
 */
#ifndef __TCC_ACCEPT_BPF_H__
#define __TCC_ACCEPT_BPF_H__

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

static __always_inline int accept_begins(int fd)
{
	__u64 thread = bpf_get_current_pid_tgid(), listener = (__u64)sock_of_fd(fd);

	if (listener)
		remember_anew(accepting, &thread, &listener);
	return 0;
}

static __always_inline __u64 wait_ns(const struct conn *conn, __u64 now)
{
	return conn && conn->established_ns ? now - conn->established_ns : 0;
}

static __always_inline bool accepted_soon(const struct conn *conn)
{
	if (!cfg.min_ns)
		return false;
	return wait_ns(conn, bpf_ktime_get_ns()) < cfg.min_ns && (!conn || conn->handshake_us * 1000ULL < cfg.min_ns);
}

static __always_inline void load_accept(struct tcc_accept *out, struct conn *conn, struct sock *listener)
{
	out->wait_ns = wait_ns(conn, out->event.head.mono_ns);
	out->handshake_us = conn ? conn->handshake_us : 0;
	out->backlog = BPF_CORE_READ(listener, sk_ack_backlog);
	out->max_backlog = BPF_CORE_READ(listener, sk_max_ack_backlog);
	out->has_listener = listener != NULL;
	__builtin_memset(out->unused, 0, sizeof(out->unused));
}

/* Counted, and no record. */
static __always_inline int accept_count(struct sock *sk)
{
	struct tcc_key key = {};
	struct tcc_head head;
	struct event e;
	bool done;

	if (!event_admit(&e, &head, sk, NULL, TCC_KIND_ACCEPT, sizeof(struct tcc_accept), false))
		return 0;
	load_key(&key, &head, e.sk, e.tp, false, true);
	done = histogram_time(&key, TCC_VALUE_WAIT, wait_ns(e.conn, head.mono_ns)) &&
	       histogram_time(&key, TCC_VALUE_HANDSHAKE, e.conn ? e.conn->handshake_us * 1000ULL : 0);
	return event_summed(&e, done);
}

static __always_inline int accept_ends(void *ctx, long fd)
{
	__u64 thread = bpf_get_current_pid_tgid(), *entered, key;
	struct sock *listener = NULL, *sk;
	struct tcc_accept *rec;
	struct conn *conn;
	struct event e;

	entered = bpf_map_lookup_elem(&accepting, &thread);
	if (entered) {
		listener = (void *)*entered;
		forget(accepting, &thread);
	}
	sk = fd < 0 ? NULL : sock_of_fd(fd);
	if (!sk)
		return 0;
	key = (__u64)sk;
	conn = conn_of(key);
	if (conn && cfg.track_owner)
		conn_learn(conn);
	if (accepted_soon(conn)) {
		event_filtered(TCC_KIND_ACCEPT);
		return 0;
	}
	if (cfg.value)
		return accept_count(sk);
	rec = event_begin(&e, sk, TCC_KIND_ACCEPT, sizeof(*rec), false);
	if (!rec)
		return 0;
	load_accept(rec, e.conn, listener);
	return event_end(ctx, &e, rec, sizeof(*rec));
}

SEC("tp/syscalls/sys_enter_accept")
int accept_enter(struct syscall_trace_enter *ctx)
{
	return accept_begins(ctx->args[0]);
}

SEC("tp/syscalls/sys_enter_accept4")
int accept4_enter(struct syscall_trace_enter *ctx)
{
	return accept_begins(ctx->args[0]);
}

SEC("tp/syscalls/sys_exit_accept")
int accept_exit(struct syscall_trace_exit *ctx)
{
	return accept_ends(ctx, ctx->ret);
}

SEC("tp/syscalls/sys_exit_accept4")
int accept4_exit(struct syscall_trace_exit *ctx)
{
	return accept_ends(ctx, ctx->ret);
}

#endif
