/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sock:inet_sk_error_report (5.14): the kernel tells the application that its connection failed. It also fires where sk_err
 * is 0, which is no failure: for what comes into the error queue (ICMP during connect(), timestamps, completions of
 * MSG_ZEROCOPY), and in tcp_disconnect().
 */
#ifndef __TCC_ERROR_BPF_H__
#define __TCC_ERROR_BPF_H__

#include "kernel.h"
#include "event.h"
#include "compat.bpf.h"
#include "conn.bpf.h"
#include "events/socket.bpf.h"

static __always_inline int on_error(void *ctx, struct sock *sk, const bool typed)
{
	/* Read once: the process may take it meanwhile, on another CPU. */
	const __u32 err = FOLLOW(typed, sk, sk_err);
	struct tcc_error *rec;
	struct event e;

	if (!err || !is_tcp(sk))
		return 0;
	rec = event_begin(&e, sk, TCC_EVENT_ERROR, sizeof(*rec), typed);
	if (!rec)
		return 0;
	rec->err = err;
	rec->unused = 0;
	return event_end(ctx, &e, rec, sizeof(*rec), TCC_EVENT_ERROR);
}

#endif
