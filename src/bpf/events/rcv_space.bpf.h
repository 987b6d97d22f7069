/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tcp:tcp_rcv_space_adjust: the application has taken data; receive buffer tuning looks at it. */
#ifndef __TCC_RCV_SPACE_BPF_H__
#define __TCC_RCV_SPACE_BPF_H__

#include "kernel.h"
#include "event.h"
#include "receive.h"
#include "events/socket.bpf.h"

static __always_inline void load_rcv_space(struct tcc_rcv_space *out, struct sock *sk, struct tcp_sock *tp)
{
	out->rcv_rtt_us = tp->rcv_rtt_est.rtt_us >> 3;
	out->rcv_space = tp->rcvq_space.space;
	out->rcv_ssthresh = tp->rcv_ssthresh;
	out->window_clamp = tp->window_clamp;
	out->rcvbuf = sk->sk_rcvbuf;
	out->rmem_alloc = sk->sk_backlog.rmem_alloc.counter;
}

static __noinline int on_rcv_space(void *ctx, struct sock *sk, const bool typed)
{
	struct tcc_rcv_space *rec;
	struct event e;

	rec = event_begin(&e, sk, TCC_EVENT_RCV_SPACE, sizeof(*rec), typed);
	if (!rec)
		return 0;
	load_rcv_space(rec, e.sk, e.tp);
	return event_end(ctx, &e, rec, sizeof(*rec), TCC_EVENT_RCV_SPACE);
}

#endif
