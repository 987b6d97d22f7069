/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tcp:tcp_retransmit_skb: a segment, or several at once, has been sent again, or (6.17) has not. */
#ifndef __TCC_RETRANSMIT_BPF_H__
#define __TCC_RETRANSMIT_BPF_H__

#include "kernel.h"
#include "event.h"
#include "summary.h"
#include "maps.bpf.h"
#include "sock.bpf.h"
#include "key.bpf.h"
#include "sums.bpf.h"
#include "observe.bpf.h"
#include "events/socket.bpf.h"

/*
 * As the kernel counts them (TCPFastRetrans, TCPSlowStartRetrans, TCPLossProbes, TCPSynRetrans). In Loss it is the timer
 * itself while none is pending: tcp_write_timer_handler() clears it before it acts, an ACK finds it armed again. Loss
 * probes are sent from the timer too, which is not cleared for them, and before any recovery.
 */
static __always_inline __u8 retransmit_class(struct inet_connection_sock *icsk, __u8 ca_state, __u16 tcp_flags)
{
	if (tcp_flags & TCPHDR_SYN)
		return TCC_RETRANSMIT_SYN;
	if (ca_state == TCP_CA_RECOVERY)
		return TCC_RETRANSMIT_FAST;
	if (ca_state == TCP_CA_LOSS)
		return icsk->icsk_pending ? TCC_RETRANSMIT_SLOW_START : TCC_RETRANSMIT_RTO;
	if (icsk->icsk_pending == ICSK_TIME_LOSS_PROBE)
		return TCC_RETRANSMIT_TLP;
	return TCC_RETRANSMIT_OTHER;
}

/* 6.17 added the error; before, it fires for what was sent only, and a third argument is whatever the register held. */
static __always_inline int retransmit_err(unsigned long long *args)
{
	return bpf_core_field_exists(((struct trace_event_raw_tcp_retransmit_skb *)0)->err) ? (int)args[2] : 0;
}

/*
 * With these __tcp_retransmit_skb() gives up before it counts what it sends: mostly EBUSY, as the first transmission still
 * waits in a qdisc. All others are what sending came to.
 */
static __always_inline bool retransmit_begun(int err)
{
	return err != -EBUSY && err != -EAGAIN && err != -ENOMEM && err != -EHOSTUNREACH && err != -EINVAL;
}

static __always_inline struct tcp_skb_cb *copy_cb(struct copies *copy, struct sk_buff *skb)
{
	if (!copy_skb(copy, skb))
		__builtin_memset(copy->skb, 0, sizeof(copy->skb));
	return (void *)((struct sk_buff *)copy->skb)->cb;
}

static __noinline int retransmit_sum(struct event *e, const struct tcp_skb_cb *cb, int err)
{
	__u8 class = retransmit_class(e->icsk, load_ca_state(e->tp), cb->tcp_flags);
	struct tcc_key key = {};
	struct tcc_sums *row;
	bool own;

	load_key(&key, e->head, e->sk, e->tp, e->conn, false, true);
	row = sums_of(&key, &own);
	if (!row || class >= TCC_SUM_SYNACK)
		return event_aggregated(e, false);
	SUM(row, class, retransmit_begun(err) ? cb->tcp_gso_segs : 0);
	SUM(row, TCC_SUM_EVENTS, 1);
	if (e->head->cookie)
		row->cookie = e->head->cookie;
	return event_aggregated(e, own);
}

static __noinline int observe_retransmit(struct event *e, const struct tcp_skb_cb *cb, int err)
{
	__u8 class = retransmit_class(e->icsk, load_ca_state(e->tp), cb->tcp_flags);

	observe_count(e, TCC_OBSERVE_RETRANS + class, retransmit_begun(err) ? cb->tcp_gso_segs : 0);
	if (class == TCC_RETRANSMIT_RTO)
		observe_add(&e->copy->moment, TCC_OBSERVE_RTOS, 1);
	if (class == TCC_RETRANSMIT_TLP)
		observe_add(&e->copy->moment, TCC_OBSERVE_TLPS, 1);
	return 0;
}

static __noinline int retransmit_record(void *ctx, struct event *e, const struct tcp_skb_cb *cb, int err)
{
	struct tcc_retransmit *rec = event_record(e, 0, TCC_EVENT_RETRANSMIT, sizeof(*rec));

	if (!rec)
		return 0;
	load_sender(&rec->sender, e);
	rec->seq = cb->seq;
	rec->end_seq = cb->end_seq;
	rec->segs = retransmit_begun(err) ? cb->tcp_gso_segs : 0;
	rec->err = err;
	rec->tcp_flags = cb->tcp_flags;
	rec->class = retransmit_class(e->icsk, rec->event.tcp.ca_state, cb->tcp_flags);
	__builtin_memset(rec->unused, 0, sizeof(rec->unused));
	emit_end(ctx, e->n, rec, sizeof(*rec), TCC_EVENT_RETRANSMIT);
	return 0;
}

static __noinline int on_retransmit(void *ctx, struct sock *sk, struct sk_buff *skb, int err, const bool typed)
{
	struct tcp_skb_cb *cb;
	struct event e;

	if (!event_filter(&e, sk, NULL, TCC_EVENT_RETRANSMIT, typed))
		return 0;
	cb = copy_cb(e.copy, skb);
	if (AGGREGATES(RETRANSMIT) && cfg.observe)
		observe_retransmit(&e, cb, err);
	else if (AGGREGATES(RETRANSMIT))
		retransmit_sum(&e, cb, err);
	if (RECORDS(RETRANSMIT))
		retransmit_record(ctx, &e, cb, err);
	copies_release();
	return 0;
}

#endif
