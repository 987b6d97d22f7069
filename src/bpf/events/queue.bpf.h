/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A connection's packets between TCP and the driver: where net_dev_start_xmit hands one to the driver, how long that was
 * after net_dev_queue, and how much of it in the qdisc.
 *
 * A packet is known again by its address and its sequence number. Where one of several segments is cut on the way (by
 * tbf, or for a device that does not do that itself), its parts are found by what they carry, and were queued when it was.
 *
 * When a packet left the qdisc is known without that: a CPU takes packets out and hands them to the driver before it takes
 * out others, with softirqs off. So its last qdisc_dequeue of that device queue is the packet's, unless it was before
 * net_dev_queue: then the packet went past the qdisc (none, or an empty one that allows it).
 *
 * qdisc_enqueue comes after the fact: the packet may have been freed, and only its address is used.
 */
#ifndef __TCC_QUEUE_BPF_H__
#define __TCC_QUEUE_BPF_H__

#include "kernel.h"
#include "event.h"
#include "inferred.h"
#include "maps.bpf.h"
#include "queue_maps.bpf.h"
#include "compat.bpf.h"
#include "entries.bpf.h"
#include "conn.bpf.h"
#include "packet.bpf.h"
#include "key.bpf.h"
#include "observe_sample.bpf.h"
#include "events/socket.bpf.h"

/* The connection that sends it; NULL: it is no TCP, forwarded, or of a socket without a connection (yet). */
static __always_inline struct sock *queue_sock(struct sk_buff *skb, const bool typed)
{
	struct sock *sk = FOLLOW(typed, skb, sk);
	__u16 family, protocol, type;
	__u8 state;

	if (!sk)
		return NULL;
	state = FOLLOW(typed, sk, __sk_common.skc_state);
	if (!is_full(state) || state == TCP_LISTEN)
		return NULL;
	if (!typed)
		return is_tcp(sk) ? sk : NULL;
	family = sk->__sk_common.skc_family;
	protocol = BPF_CORE_READ_BITFIELD(sk, sk_protocol);
	type = BPF_CORE_READ_BITFIELD(sk, sk_type);
	return (family == AF_INET || family == AF_INET6) && protocol == IPPROTO_TCP && type == SOCK_STREAM ? sk : NULL;
}

/* What stands where TCP has put its header, and how much behind it; all zero where nothing can be read. */
static __always_inline void queue_header(struct tcp_header *th, __u32 *data_len, struct sk_buff *skb, const bool typed)
{
	bool inner = typed ? BPF_CORE_READ_BITFIELD(skb, encapsulation) : BPF_CORE_READ_BITFIELD_PROBED(skb, encapsulation);
	__u32 at = inner ? FOLLOW(typed, skb, inner_transport_header) : FOLLOW(typed, skb, transport_header);
	unsigned char *head = FOLLOW(typed, skb, head);
	__u32 tail = FOLLOW(typed, skb, tail), end = FOLLOW(typed, skb, data) - head + FOLLOW(typed, skb, len);

	if (!look_tcp(th, data_len, head, at, tail, end)) {
		__builtin_memset(th, 0, sizeof(*th));
		*data_len = 0;
	}
}

static __always_inline __u16 queue_segs(struct sk_buff *skb, const bool typed)
{
	struct skb_shared_info *shared = (void *)(FOLLOW(typed, skb, head) + FOLLOW(typed, skb, end));
	__u16 segs = BPF_CORE_READ(shared, gso_segs);

	return segs ? segs : 1;
}

static __always_inline struct netdev_queue *queue_txq(struct net_device *dev, struct sk_buff *skb, const bool typed)
{
	__u64 index = FOLLOW(typed, skb, queue_mapping);

	return (void *)BPF_CORE_READ(dev, _tx) + index * bpf_core_type_size(struct netdev_queue);
}

/* How much stands in the qdisc, where there is one and it counts that in one place. */
static __always_inline void queue_length(struct queued *out, struct netdev_queue *txq)
{
	struct Qdisc *qdisc = BPF_CORE_READ(txq, qdisc);

	if (!qdisc || !BPF_CORE_READ(qdisc, enqueue) || (BPF_CORE_READ(qdisc, flags) & TCQ_F_CPUSTATS))
		return;
	out->qlen = BPF_CORE_READ(qdisc, q.qlen);
	out->backlog = BPF_CORE_READ(qdisc, qstats.backlog);
	out->has_qlen = 1;
}

/* Remembers one that may be cut, in the block where it begins. */
static __always_inline void queue_uncut(const struct queued *packet)
{
	struct uncut_key key = { .sk = packet->sk, .block = packet->seq >> UNCUT_SHIFT };
	struct uncut fresh = { .count = 1 };
	struct uncut *uncut;

	uncut = bpf_map_lookup_elem(&uncut_packets, &key);
	if (uncut) {
		uncut->packets[uncut->count++ % UNCUT] = *packet;
		return;
	}
	fresh.packets[0] = *packet;
	bpf_map_update_elem(&uncut_packets, &key, &fresh, BPF_NOEXIST);
}

static __always_inline int on_queue_begin(struct sk_buff *skb, const bool typed)
{
	struct sock *sk = queue_sock(skb, typed);
	struct queued packet = {};
	__u64 key = (__u64)skb;
	struct tcp_header th;
	__u32 data_len;

	if (!sk)
		return 0;
	packet.queue_ns = bpf_ktime_get_ns();
	packet.sk = (__u64)sk;
	queue_header(&th, &data_len, skb, typed);
	packet.seq = bpf_ntohl(th.seq);
	packet.end_seq = packet.seq + data_len;
	queue_length(&packet, queue_txq(FOLLOW(typed, skb, dev), skb, typed));
	if (data_len && queue_segs(skb, typed) > 1)
		queue_uncut(&packet);
	entry_replace(queued_packets, &key, &packet);
	return 0;
}

static __always_inline int on_queue_enter(__u64 key)
{
	struct queued *packet = bpf_map_lookup_elem(&queued_packets, &key);

	if (packet)
		packet->enqueue_ns = bpf_ktime_get_ns();
	return 0;
}

static __always_inline struct dequeued *queue_dequeued(__u32 ifindex)
{
	__u32 at = ifindex % DEQUEUED;

	return bpf_map_lookup_elem(&last_dequeued, &at);
}

/* One packet or several; which ones is seen when they are handed on. */
static __always_inline int on_queue_leave(struct netdev_queue *txq, const bool typed)
{
	struct dequeued *last = queue_dequeued(FOLLOW(typed, txq, dev, ifindex));

	if (last) {
		last->txq = (__u64)txq;
		last->ns = bpf_ktime_get_ns();
	}
	return 0;
}

/* The newest packet in that block that carried `seq`, as it may have been sent again. */
static __always_inline void queue_find_uncut(struct queued *out, __u64 sk, __u32 seq, __u32 blocks_back)
{
	struct uncut_key key = { .sk = sk, .block = ((seq >> UNCUT_SHIFT) - blocks_back) & UNCUT_LAST_BLOCK };
	struct uncut *uncut = bpf_map_lookup_elem(&uncut_packets, &key);
	const struct queued *packet;

	if (!uncut)
		return;
#pragma unroll
	for (__u32 i = 0; i < UNCUT; i++) {
		packet = &uncut->packets[i];
		if (packet->queue_ns > out->queue_ns && seq - packet->seq < packet->end_seq - packet->seq)
			*out = *packet;
	}
}

/*
 * The packet of which this is a part. It began up to 64 KiB before; of a larger one (BIG TCP) only parts of its beginning are
 * found. No loop: kernels up to some 6.x take one only if its end is a jump, which the compiler leaves out here.
 */
static __noinline int queue_find_whole(struct queued *out, __u64 sk, __u32 seq)
{
	queue_find_uncut(out, sk, seq, 0);
	queue_find_uncut(out, sk, seq, 1);
	queue_find_uncut(out, sk, seq, 2);
	queue_find_uncut(out, sk, seq, 3);
	queue_find_uncut(out, sk, seq, 4);
	queue_find_uncut(out, sk, seq, 5);
	queue_find_uncut(out, sk, seq, 6);
	queue_find_uncut(out, sk, seq, 7);
	queue_find_uncut(out, sk, seq, 8);
	return 0;
}

/* As it was queued; of the parts of one that was cut, as that was. queue_ns is 0 where it is not known. */
static __always_inline void queue_find(struct queued *out, __u64 address, __u64 sk, __u32 seq)
{
	struct queued *packet = bpf_map_lookup_elem(&queued_packets, &address);

	if (packet && packet->sk == sk && packet->seq == seq) {
		*out = *packet;
		entry_delete(queued_packets, &address);
		return;
	}
	queue_find_whole(out, sk, seq);
}

/* How long it was in the qdisc; before 5.14 (70713dddf3d2), and of parts, that begins at net_dev_queue. */
static __always_inline __u64 queue_in_qdisc(const struct queued *packet, __u64 txq, __u32 ifindex)
{
	struct dequeued *last = queue_dequeued(ifindex);
	__u64 since = packet->queue_ns;

	if (!since || !last || last->txq != txq || last->ns < since)
		return TCC_UNKNOWN_NS;
	/* Where qdiscs have no lock, another CPU may have taken it out before it was said to be in. */
	if (packet->enqueue_ns && packet->enqueue_ns <= last->ns)
		since = packet->enqueue_ns;
	return last->ns - since;
}

static __always_inline void load_queue_dev(struct tcc_queue *rec, struct net_device *dev, struct netdev_queue *txq)
{
	const struct Qdisc_ops *ops = BPF_CORE_READ(txq, qdisc, ops);

	rec->dev_netns = BPF_CORE_READ(dev, nd_net.net, ns.inum);
	__builtin_memset(rec->dev, 0, sizeof(rec->dev));
	bpf_core_read_str(rec->dev, sizeof(rec->dev), &dev->name);
	__builtin_memset(rec->qdisc, 0, sizeof(rec->qdisc));
	bpf_core_read_str(rec->qdisc, sizeof(rec->qdisc), &ops->id);
}

/* Is that the connection's header? Not where the packet is encrypted; an address translation leaves one of the ports. */
static __always_inline bool queue_is_header(const struct tcp_header *th, const struct tcc_head *head)
{
	return bpf_ntohs(th->source) == head->sport || bpf_ntohs(th->dest) == head->dport;
}

static __noinline int observe_queue(struct event *e, __u32 ifindex, __u64 wait_ns)
{
	struct tcc_key *key = &e->copy->moment.key;
	__u64 us = wait_ns / 1000;

	__builtin_memset(key, 0, sizeof(*key));
	load_key(key, e->head, e->sk, e->tp, e->conn, false, true);
	if (BY(IFACE) && ifindex)
		key->ifindex = ifindex;
	return event_aggregated(e, observe_value(key, TCC_VALUE_QUEUE, us, wait_ns != TCC_UNKNOWN_NS));
}

static __always_inline int on_queue(void *ctx, struct sk_buff *skb, struct net_device *dev, const bool typed)
{
	struct sock *sk = queue_sock(skb, typed);
	struct queued packet = {};
	struct netdev_queue *txq;
	struct packet by = {};
	struct tcc_queue *rec;
	__u64 wait_ns, now;
	struct tcp_header th;
	struct event e;
	__u32 data_len;

	if (!sk)
		return 0;
	now = bpf_ktime_get_ns();
	queue_header(&th, &data_len, skb, typed);
	queue_find(&packet, (__u64)skb, (__u64)sk, bpf_ntohl(th.seq));
	wait_ns = packet.queue_ns ? now - packet.queue_ns : TCC_UNKNOWN_NS;
	if (wait_ns < cfg.min_ns) {
		event_filtered(TCC_EVENT_QUEUE);
		return 0;
	}
	by.mark = FOLLOW(typed, skb, mark);
	by.ifindex = FOLLOW(typed, dev, ifindex);
	if (typed && cfg.cookie_helper)
		packet_cookie(skb);
	if (!event_filter(&e, sk, &by, TCC_EVENT_QUEUE, false))
		return 0;
	if (AGGREGATES(QUEUE))
		observe_queue(&e, by.ifindex, wait_ns);
	rec = event_record(&e, by.ifindex, TCC_EVENT_QUEUE, sizeof(*rec));
	if (!rec) {
		copies_release();
		return 0;
	}
	txq = queue_txq(dev, skb, typed);
	rec->queue_ns = wait_ns;
	rec->qdisc_ns = queue_in_qdisc(&packet, (__u64)txq, by.ifindex);
	rec->has_header = queue_is_header(&th, &rec->event.head);
	rec->seq = bpf_ntohl(th.seq);
	rec->data_len = data_len;
	rec->tcp_flags = tcp_header_flags(&th);
	rec->len = FOLLOW(typed, skb, len);
	rec->qlen = packet.qlen;
	rec->backlog = packet.backlog;
	rec->has_qlen = packet.has_qlen;
	rec->queue_mapping = FOLLOW(typed, skb, queue_mapping);
	rec->segs = queue_segs(skb, typed);
	load_queue_dev(rec, dev, txq);
	return event_end(ctx, &e, rec, sizeof(*rec), TCC_EVENT_QUEUE);
}

#endif
