/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tcp:tcp_rcvbuf_grow (6.16): the application has taken more in a round trip than ever before, and the receive buffer
 * may grow for it. All values are those before, as in the tracepoint's own record.
 */
#ifndef __TCC_RCVBUF_GROW_BPF_H__
#define __TCC_RCVBUF_GROW_BPF_H__

#include "kernel.h"
#include "event.h"
#include "receive.h"
#include "events/socket.bpf.h"

/* From the end of what is in order to the end of all; the pointer is a stale one where nothing is out of order. */
static __always_inline __u32 load_ooo_space(struct tcp_sock *tp)
{
	struct sk_buff *last = tp->ooo_last_skb;
	struct tcp_skb_cb *cb = (void *)last->cb;

	if (!tp->out_of_order_queue.rb_node)
		return 0;
	return BPF_CORE_READ(cb, end_seq) - tp->rcv_nxt;
}

static __always_inline int on_rcvbuf_grow(void *ctx, struct sock *sk, int time, const bool typed)
{
	struct tcc_rcvbuf_grow *rec;
	struct event e;

	rec = event_begin(&e, sk, TCC_EVENT_RCVBUF_GROW, sizeof(*rec), typed);
	if (!rec)
		return 0;
	rec->time_us = time;
	rec->rcv_rtt_us = e.tp->rcv_rtt_est.rtt_us >> 3;
	rec->copied = e.tp->copied_seq - e.tp->rcvq_space.seq;
	rec->inq = e.tp->rcv_nxt - e.tp->copied_seq;
	rec->rcv_space = e.tp->rcvq_space.space;
	rec->ooo_space = load_ooo_space(e.tp);
	rec->rcv_ssthresh = e.tp->rcv_ssthresh;
	rec->window_clamp = e.tp->window_clamp;
	rec->rcvbuf = e.sk->sk_rcvbuf;
	rec->scaling_ratio = e.tp->scaling_ratio;
	return event_end(ctx, &e, rec, sizeof(*rec), TCC_EVENT_RCVBUF_GROW);
}

#endif
