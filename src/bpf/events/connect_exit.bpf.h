/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Errors of connect() that never reach the socket: no local port is left (EADDRNOTAVAIL), the route has gone. Such a call takes
 * the socket from SYN_SENT back to CLOSE itself, and the record waits here for what the system call returns. By the raw
 * tracepoint of all system calls: it needs no tracefs, sees sendto() with MSG_FASTOPEN and 32-bit processes, too, and costs
 * little where no record waits.
 */
#ifndef __TCC_CONNECT_EXIT_BPF_H__
#define __TCC_CONNECT_EXIT_BPF_H__

#include "kernel.h"
#include "event.h"
#include "lifecycle.h"
#include "maps.bpf.h"
#include "emit.bpf.h"
#include "compat.bpf.h"
#include "events/socket.bpf.h"

/* Key: the thread. Inserted as its call fails, removed as that returns. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, __u64);
	__type(value, struct tcc_connect);
} failed_calls SEC(".maps");

/* How many there are: while there is none, a system call costs no look-up. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __s64);
} failed_calls_count SEC(".maps");

/* What an entry begins as: too large for the stack. */
const volatile struct tcc_connect no_call = {};

/*
 * Is it connect() itself that ends the attempt? Then its struct socket is not connecting, or not any more; to close() and
 * shutdown() it is. An io_uring worker returns from no system call.
 */
static __always_inline bool is_failed_call(struct event *e)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct socket *socket = e->sk->sk_socket;

	return e->sk->sk_lock.owned && BPF_CORE_READ(socket, state) == SS_UNCONNECTED &&
	       !(BPF_CORE_READ(task, flags) & (PF_KTHREAD | PF_IO_WORKER));
}

/* Takes the record over, if it is of such a call. */
static __always_inline bool awaits_return(struct event *e, struct tcc_connect *rec)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct tcc_connect *waiting;
	__u32 zero = 0;
	__s64 *count;

	if (!cfg.sees_returns || rec->err || !is_failed_call(e))
		return false;
	count = bpf_map_lookup_elem(&failed_calls_count, &zero);
	if (!count || bpf_map_update_elem(&failed_calls, &thread, (const void *)&no_call, BPF_NOEXIST))
		return false;
	waiting = bpf_map_lookup_elem(&failed_calls, &thread);
	if (!waiting)
		return false;
	*waiting = *rec;
	__sync_fetch_and_add(count, 1);
	emit_discard(rec);
	return true;
}

/* Without an error it was not connect() that failed: io_uring has its results elsewhere. */
static __always_inline void set_error(struct tcc_connect *rec, long ret)
{
	if (ret >= 0)
		return;
	rec->err = -ret;
	if (ret == -ECONNREFUSED)
		rec->outcome = TCC_OUTCOME_REFUSED;
	else if (ret == -ETIMEDOUT)
		rec->outcome = TCC_OUTCOME_TIMEOUT;
	else
		rec->outcome = TCC_OUTCOME_ERROR;
}

static __always_inline int on_return(void *ctx, long ret)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct tcc_connect *waiting, *rec;
	struct tcc_counters *n;
	__u32 zero = 0;
	__s64 *count;

	count = bpf_map_lookup_elem(&failed_calls_count, &zero);
	if (!count || !*count)
		return 0;
	waiting = bpf_map_lookup_elem(&failed_calls, &thread);
	n = counters_of(TCC_EVENT_CONNECT);
	if (!waiting || !n)
		return 0;
	preemption_off();
	rec = emit_begin(sizeof(*rec), TCC_EVENT_CONNECT);
	if (rec) {
		*rec = *waiting;
		set_error(rec, ret);
		emit_end(ctx, n, rec, sizeof(*rec), TCC_EVENT_CONNECT);
	} else {
		COUNT(n, lost);
	}
	preemption_on();
	bpf_map_delete_elem(&failed_calls, &thread);
	__sync_fetch_and_add(count, -1);
	return 0;
}

SEC("raw_tp/sys_exit")
int BPF_PROG(sys_exit, void *regs, long ret)
{
	return on_return(ctx, ret);
}

#endif
