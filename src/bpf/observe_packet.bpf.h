/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Adds up drops and resets, for `observe`: events of a packet, for which there may be no socket. */
#ifndef __TCC_OBSERVE_PACKET_BPF_H__
#define __TCC_OBSERVE_PACKET_BPF_H__

#include "kernel.h"
#include "observe.h"
#include "maps.bpf.h"
#include "emit.bpf.h"
#include "key.bpf.h"
#include "packet.bpf.h"
#include "observe.bpf.h"

static __noinline int observe_reset_sent(struct event *e, __u32 reason)
{
	observe_load(&e->copy->moment, e->head, e->sk, e->conn);
	observe_event(e);
	return observe_reason(&e->copy->moment.key, TCC_REASON_RESET_SENT, reason);
}

static __noinline int observe_drop(struct event *e, const struct packet *p, __u32 reason)
{
	observe_load(&e->copy->moment, e->head, e->sk, e->conn);
	if (BY(IFACE) && p->ifindex)
		e->copy->moment.key.ifindex = p->ifindex;
	observe_event(e);
	return observe_reason(&e->copy->moment.key, TCC_REASON_DROP, reason);
}

/* What the packet says is all there is: no process, cgroup or algorithm. */
static __always_inline void observe_packet_key(struct tcc_key *key, const struct tcc_head *head, const struct packet *p)
{
	__builtin_memset(key, 0, sizeof(*key));
	load_key_ends(key, head);
	if (BY(NETNS))
		key->netns = p->netns;
	if (BY(IFACE))
		key->ifindex = p->ifindex;
}

/* An event without a full socket, which has passed the filters. */
static __noinline int observe_packet(struct event *e, const struct tcc_head *head, const struct packet *p, __u32 of, __u32 reason)
{
	struct copies *copy = copies_claim();

	if (!copy)
		return event_aggregated(e, false);
	observe_packet_key(&copy->moment.key, head, p);
	copy->moment.cookie = head->cookie;
	event_aggregated(e, observe_add(&copy->moment, TCC_OBSERVE_EVENTS, 1));
	observe_reason(&copy->moment.key, of, reason);
	copies_release();
	return 0;
}

#endif
