/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tcp:tcp_destroy_sock: the connection's last event, with its totals. */
#ifndef __TCC_DESTROY_BPF_H__
#define __TCC_DESTROY_BPF_H__

#include "kernel.h"
#include "event.h"
#include "lifecycle.h"
#include "compat.bpf.h"
#include "observe.bpf.h"
#include "events/socket.bpf.h"

static __always_inline void load_totals(struct tcc_totals *out, struct tcp_sock *tp)
{
	out->bytes_sent = LOAD_IF(tp, bytes_sent); /* 4.19 */
	out->bytes_retrans = LOAD_IF(tp, bytes_retrans); /* 4.19 */
	out->segs_in = tp->segs_in;
	out->segs_out = tp->segs_out;
	out->data_segs_in = tp->data_segs_in;
	out->data_segs_out = tp->data_segs_out;
	out->min_rtt_us = tp->rtt_min.s[0].v;
	out->delivered = tp->delivered;
	out->lost = tp->lost;
	out->dsack_dups = LOAD_IF(tp, dsack_dups); /* 4.19 */
}

static __noinline int destroy_record(void *ctx, struct event *e)
{
	struct tcc_destroy *rec = event_record(e, 0, TCC_EVENT_DESTROY, sizeof(*rec));

	if (!rec)
		return 0;
	if (e->closed)
		rec->totals = e->closed->totals;
	else
		load_totals(&rec->totals, e->tp);
	emit_end(ctx, e->n, rec, sizeof(*rec), TCC_EVENT_DESTROY);
	return 0;
}

static __noinline int on_destroy(void *ctx, struct sock *sk, const bool typed)
{
	struct event e;

	if (!event_filter(&e, sk, NULL, TCC_EVENT_DESTROY, typed))
		return 0;
	if (AGGREGATES(DESTROY))
		observe_destroy(&e, sk);
	if (RECORDS(DESTROY))
		destroy_record(ctx, &e);
	copies_release();
	return 0;
}

#endif
