/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * skb:kfree_skb: the kernel drops a packet, here a TCP one.
 *
 * Since 5.17 (c504e5c2f964) it says why; before, whatever kfree_skb() frees counts. Since 6.11 (c53795d48ee8) it names the
 * socket that a packet was for; else a socket is known where the packet carries one: on its way down, and on its
 * way up where early demux or a receive queue gave it one. What is consumed has another tracepoint.
 */
#ifndef __TCC_DROP_BPF_H__
#define __TCC_DROP_BPF_H__

#include "kernel.h"
#include "event.h"
#include "drop.h"
#include "maps.bpf.h"
#include "emit.bpf.h"
#include "conn.bpf.h"
#include "packet.bpf.h"
#include "observe_packet.bpf.h"
#include "events/socket.bpf.h"

#define HAS_RX_SK bpf_core_field_exists(((struct trace_event_raw_kfree_skb *)0)->rx_sk)

static __always_inline void load_drop(struct tcc_drop *rec, const struct packet *p, __u64 location, __u32 reason,
				      __u8 state)
{
	rec->location = location;
	rec->reason = reason;
	rec->seq = p->seq;
	rec->ack_seq = p->ack_seq;
	rec->data_len = p->data_len;
	rec->skb_len = p->len;
	rec->mark = p->mark;
	rec->tcp_flags = p->tcp_flags;
	rec->segs = p->segs;
	rec->outgoing = p->outgoing;
	rec->state = state;
	rec->frames = 0;
	rec->unused = 0;
}

static __always_inline void load_stack(void *ctx, struct tcc_drop_stack *rec)
{
	long bytes;

	__builtin_memset(rec->stack, 0, sizeof(rec->stack));
	bytes = bpf_get_stack(ctx, rec->stack, sizeof(rec->stack), 0);
	rec->drop.frames = bytes > 0 ? bytes / sizeof(rec->stack[0]) : 0;
}

/* The state of a TCP socket, be it only a request or what is left in TIME_WAIT; 0: it is none. */
static __always_inline __u8 tcp_state(struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);

	if (family != AF_INET && family != AF_INET6)
		return 0;
	/* A reply that no socket sends (RST, ACK in TIME_WAIT) carries a raw one of the kernel's own. */
	return !is_full(state) || is_tcp(sk) ? state : 0;
}

/* Makes the cookie where a program can: it is in the reads that follow. */
static __always_inline void make_cookie(unsigned long long *args, const bool named)
{
	struct sock *sk;

	if (HAS_RX_SK && named) {
		sk = (void *)args[3];
		if (sk)
			bpf_get_socket_cookie(sk);
		return;
	}
	packet_cookie((void *)args[0]);
}

/* Before 5.17 there is none. */
static __always_inline __u32 drop_reason(__u32 reason)
{
	return bpf_core_field_exists(((struct trace_event_raw_kfree_skb *)0)->reason) ? reason : TCC_NO_REASON;
}

static __always_inline int on_drop(unsigned long long *args, struct sk_buff *skb, const bool typed)
{
	__u32 reason = bpf_core_field_exists(((struct trace_event_raw_kfree_skb *)0)->reason) ? args[2] : 0;
	__u64 location = args[1], rx_sk = 0;
	const __u16 size = cfg.stack ? sizeof(struct tcc_drop_stack) : sizeof(struct tcc_drop);
	struct tcc_head head = { .event_type = TCC_EVENT_DROP, .len = size };
	struct packet p;
	struct tcc_drop *rec;
	struct sock *sk;
	struct event e;
	__u8 state;

	switch (packet_parse(&p, skb, typed)) {
	case PARSE_OTHER:
		return 0;
	case PARSE_FAILED:
		event_unread(TCC_EVENT_DROP);
		return 0;
	case PARSE_TCP:
		break;
	}
	/* By a read: some verifiers (6.11) believe that it is never NULL, and would leave the rest out. */
	if (HAS_RX_SK)
		bpf_probe_read_kernel(&rx_sk, sizeof(rx_sk), &args[3]);
	sk = (void *)rx_sk;
	/* In kernels up to some 6.x a fragment has its place in the whole there (ip_defrag_offset). */
	if (!sk && !p.fragment)
		sk = BPF_CORE_READ(skb, sk);
	state = sk ? tcp_state(sk) : 0;
	if (!state)
		sk = NULL;
	packet_direct(&p, skb, sk, rx_sk != 0);
	packet_device(&p, skb);
	/* Decided in many ways, each of which the verifier would follow. */
	p.outgoing = unknown(p.outgoing);
	p.ifindex = unknown(p.ifindex);
	p.netns = unknown(p.netns);
	state = unknown(state);
	if (state && is_full(state)) {
		if (typed && cfg.cookie_helper)
			make_cookie(args, rx_sk != 0);
		if (!event_filter(&e, sk, &p, TCC_EVENT_DROP, false))
			return 0;
		if (AGGREGATES(DROP))
			observe_drop(&e, &p, drop_reason(reason));
		rec = event_record(&e, p.ifindex, TCC_EVENT_DROP, size);
		if (!rec)
			copies_release();
	} else {
		head.mono_ns = bpf_ktime_get_ns();
		head.cookie = state ? BPF_CORE_READ(sk, __sk_common.skc_cookie.counter) : 0;
		packet_ends(&head, &p);
		if (!event_filter_bare(&e, &head, &p, TCC_EVENT_DROP))
			return 0;
		if (AGGREGATES(DROP))
			observe_packet(&e, &head, &p, TCC_REASON_DROP, drop_reason(reason));
		rec = event_record_bare(&e, &head, &p, TCC_EVENT_DROP, size);
	}
	if (!rec)
		return 0;
	load_drop(rec, &p, location, reason, state);
	if (cfg.stack)
		load_stack(args, (void *)rec);
	emit_end(args, e.n, rec, size, TCC_EVENT_DROP);
	if (state && is_full(state))
		copies_release();
	return 0;
}

#endif
