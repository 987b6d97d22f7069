/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tcp:tcp_retransmit_synack: a SYN-ACK is sent again. There is no connection yet, but a request of a listener's. */
#ifndef __TCC_SYNACK_RETRANSMIT_BPF_H__
#define __TCC_SYNACK_RETRANSMIT_BPF_H__

#include "kernel.h"
#include "event.h"
#include "summary.h"
#include "maps.bpf.h"
#include "compat.bpf.h"
#include "sock.bpf.h"
#include "key.bpf.h"
#include "sums.bpf.h"
#include "observe.bpf.h"
#include "packet.bpf.h"
#include "events/socket.bpf.h"

/* A request begins as a socket does, with the ends; they stand in for the listener's, which has but one. */
static __always_inline void synack_packet(struct packet *p, struct request_sock *req)
{
	struct inet_request_sock *ireq = (void *)req;

	__builtin_memset(p, 0, sizeof(*p));
	if (is_ipv6(BPF_CORE_READ(req, __req_common.skc_family))) {
		BPF_CORE_READ_INTO(&p->src, req, __req_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&p->dst, req, __req_common.skc_v6_daddr);
	} else {
		ipv4_mapped(p->src, BPF_CORE_READ(req, __req_common.skc_rcv_saddr));
		ipv4_mapped(p->dst, BPF_CORE_READ(req, __req_common.skc_daddr));
	}
	p->source = BPF_CORE_READ(req, __req_common.skc_num);
	p->dest = bpf_ntohs(BPF_CORE_READ(req, __req_common.skc_dport));
	p->mark = BPF_CORE_READ(ireq, ir_mark);
	p->ifindex = BPF_CORE_READ(req, __req_common.skc_bound_dev_if);
	p->addressed = 1;
	p->outgoing = 1;
}

/* The cookie is not the connection's, and what else the row is of is the listener's. */
static __noinline int synack_retransmit_sum(struct event *e)
{
	struct tcc_key key = {};
	struct tcc_sums *row;
	bool own;

	load_key(&key, e->head, e->sk, e->tp, e->conn, false, true);
	row = sums_of(&key, &own);
	if (!row)
		return event_aggregated(e, false);
	SUM(row, TCC_SUM_SYNACK, 1);
	SUM(row, TCC_SUM_EVENTS, 1);
	return event_aggregated(e, own);
}

/* For the filters it is the listener's; who will accept it, and what will become of it, nobody knows. */
static __noinline int synack_retransmit_record(void *ctx, struct event *e, struct request_sock *req, __u32 ifindex)
{
	struct tcc_synack_retransmit *rec = event_record(e, ifindex, TCC_EVENT_SYNACK_RETRANSMIT, sizeof(*rec));

	if (!rec)
		return 0;
	rec->event.owner.ino = 0;
	rec->event.owner.pid = 0;
	__builtin_memset(rec->event.owner.comm, 0, sizeof(rec->event.owner.comm));
	__builtin_memset(&rec->event.tcp, 0, sizeof(rec->event.tcp));
	/* Counted after this. */
	rec->attempt = BPF_CORE_READ(req, num_retrans) + 1;
	rec->unused = 0;
	emit_end(ctx, e->n, rec, sizeof(*rec), TCC_EVENT_SYNACK_RETRANSMIT);
	return 0;
}

static __noinline int on_synack_retransmit(void *ctx, struct sock *listener, struct request_sock *req, const bool typed)
{
	struct packet p;
	struct event e;

	synack_packet(&p, req);
	if (!event_filter(&e, listener, &p, TCC_EVENT_SYNACK_RETRANSMIT, typed))
		return 0;
	if (AGGREGATES(SYNACK_RETRANSMIT) && cfg.observe)
		observe_count(&e, TCC_OBSERVE_RETRANS_SYNACK, 1);
	else if (AGGREGATES(SYNACK_RETRANSMIT))
		synack_retransmit_sum(&e);
	if (RECORDS(SYNACK_RETRANSMIT))
		synack_retransmit_record(ctx, &e, req, p.ifindex);
	copies_release();
	return 0;
}

#endif
