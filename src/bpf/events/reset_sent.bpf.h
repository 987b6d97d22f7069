/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tcp:tcp_send_reset: we send a RST, in answer to a packet (skb) or by ourselves (no skb).
 *
 * Since 6.10 (19822a980e19) there is a reason, and it fires where no socket is to be found, too: then `sk` is NULL. It may
 * also be a TIME_WAIT or request socket, which has little more than addresses; those come from the packet then.
 */
#ifndef __TCC_RESET_SENT_BPF_H__
#define __TCC_RESET_SENT_BPF_H__

#include "kernel.h"
#include "event.h"
#include "maps.bpf.h"
#include "emit.bpf.h"
#include "packet.bpf.h"
#include "observe_packet.bpf.h"
#include "events/socket.bpf.h"

static __always_inline void load_reset(struct tcc_reset_sent *rec, __u32 reason, __u8 state)
{
	rec->reason = reason;
	rec->state = state;
	rec->has_reason = bpf_core_field_exists(((struct trace_event_raw_tcp_send_reset *)0)->reason);
	rec->unused[0] = 0;
	rec->unused[1] = 0;
}

static __always_inline __u32 known_reset_reason(__u32 reason)
{
	return bpf_core_field_exists(((struct trace_event_raw_tcp_send_reset *)0)->reason) ? reason : TCC_NO_REASON;
}

static __noinline int on_reset_sent(void *ctx, struct sock *sk, struct sk_buff *skb, __u32 reason, const bool typed)
{
	struct tcc_head head = { .event_type = TCC_EVENT_RESET_SENT, .len = sizeof(struct tcc_reset_sent) };
	struct tcc_reset_sent *rec;
	struct packet p;
	struct event e;
	__u8 state = 0;

	if (sk) {
		state = BPF_CORE_READ(sk, __sk_common.skc_state);
		if (is_full(state)) {
			if (!event_filter(&e, sk, NULL, TCC_EVENT_RESET_SENT, typed))
				return 0;
			if (AGGREGATES(RESET_SENT))
				observe_reset_sent(&e, known_reset_reason(reason));
			rec = event_record(&e, 0, TCC_EVENT_RESET_SENT, sizeof(*rec));
			if (rec) {
				load_reset(rec, reason, state);
				emit_end(ctx, e.n, rec, sizeof(*rec), TCC_EVENT_RESET_SENT);
			}
			copies_release();
			return 0;
		}
	}
	if (!skb || packet_parse(&p, skb, false) != PARSE_TCP) {
		event_unread(TCC_EVENT_RESET_SENT);
		return 0;
	}
	/* It came from the peer. */
	p.outgoing = 0;
	p.ifindex = BPF_CORE_READ(skb, skb_iif);
	packet_device(&p, skb);
	packet_ends(&head, &p);
	head.mono_ns = bpf_ktime_get_ns();
	head.cookie = sk ? BPF_CORE_READ(sk, __sk_common.skc_cookie.counter) : 0;
	if (!event_filter_bare(&e, &head, &p, TCC_EVENT_RESET_SENT))
		return 0;
	if (AGGREGATES(RESET_SENT))
		observe_packet(&e, &head, &p, TCC_REASON_RESET_SENT, known_reset_reason(reason));
	rec = event_record_bare(&e, &head, &p, TCC_EVENT_RESET_SENT, sizeof(*rec));
	if (!rec)
		return 0;
	load_reset(rec, reason, state);
	emit_end(ctx, e.n, rec, sizeof(*rec), TCC_EVENT_RESET_SENT);
	return 0;
}

static __always_inline __u32 reset_reason(unsigned long long *args)
{
	return bpf_core_field_exists(((struct trace_event_raw_tcp_send_reset *)0)->reason) ? args[2] : 0;
}

#endif
