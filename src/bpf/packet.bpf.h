/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A TCP packet in a struct sk_buff, wherever on its way it is: what its headers say, which way it goes, whose it is.
 *
 * What it says is read from the packet, and where the TCP header lies is counted from the IP header: transport_header is
 * not set before IP has received the packet, nor network_header before the core has (then the packet begins at `data`).
 * On its way down it has no IP header before IP gives it one: then protocol is 0, and the ends are the socket's.
 *
 * Not known as TCP: later fragments, packets in an Ethernet frame with a VLAN tag in it or in a tunnel, IPv6 extension
 * headers other than one hop-by-hop header (which BIG TCP has), and a packet whose IP header is not in the linear part.
 */
#ifndef __TCC_PACKET_BPF_H__
#define __TCC_PACKET_BPF_H__

#include "kernel.h"
#include "event.h"
#include "config.h"
#include "compat.bpf.h"
#include "sock.bpf.h"
#include "conn.bpf.h"
#include "filter.bpf.h"

#define IP_LEN 20
#define IP6_LEN 40
#define HOP_LEN 8
#define TCP_LEN 20
/* Namespaces are numbered from here on (PROC_DYNAMIC_FIRST, and below it those that are there from the start). */
#define FIRST_NS_INUM 0xeffffff0

struct packet {
	__u8 src[16];
	__u8 dst[16];
	__u16 source;
	__u16 dest;
	__u32 seq;
	__u32 ack_seq;
	__u32 data_len;
	__u32 len;
	__u32 mark;
	__u32 ifindex; /* 0: not known */
	__u32 netns; /* of that interface; 0: not known */
	__u16 tcp_flags;
	__u16 segs;
	__u8 outgoing;
	__u8 fragment; /* the first of several */
	__u8 addressed; /* src and dst are known */
	__u8 framed; /* its link-layer header has been put on, or not taken off yet */
};

/* How a TCP header begins on the wire. */
struct tcp_header {
	__be16 source;
	__be16 dest;
	__be32 seq;
	__be32 ack_seq;
	__u8 doff;
	__u8 flags;
	__be16 window;
};

enum parse_result {
	PARSE_OTHER, /* no TCP */
	PARSE_FAILED, /* TCP, but its header cannot be read */
	PARSE_TCP,
};

/* Of sequence numbers, which wrap. */
static __always_inline bool after(__u32 a, __u32 b)
{
	return (__s32)(b - a) < 0;
}

/* TIME_WAIT and a request have little more than a struct sock_common. */
static __always_inline bool is_full(__u8 state)
{
	return state != TCP_TIME_WAIT && state != TCP_NEW_SYN_RECV;
}

/* The only place where a TCP header is read. */
static __always_inline bool read_tcp_header(struct tcp_header *th, const void *at)
{
	return !bpf_probe_read_kernel(th, sizeof(*th), at);
}

static __always_inline __u32 tcp_header_len(const struct tcp_header *th)
{
	return (th->doff >> 4) * 4;
}

/* Eight, and the one that was NS and is AE now. */
static __always_inline __u16 tcp_header_flags(const struct tcp_header *th)
{
	return (th->doff & 1) << 8 | th->flags;
}

/* The TCP header at that place of the buffer, which is filled up to `tail`, and how much data is between it and `end`. */
static __always_inline bool look_tcp(struct tcp_header *th, __u32 *data_len, unsigned char *head, __u32 at, __u32 tail,
				     __u32 end)
{
	if (at + TCP_LEN > tail || !read_tcp_header(th, head + at))
		return false;
	at += tcp_header_len(th);
	*data_len = end > at ? end - at : 0;
	return true;
}

/* Where in the buffer TCP begins, and where it ends by what IP says (0: it does not). False: this is no TCP. */
static __always_inline bool look_ip4(struct packet *p, unsigned char *head, __u32 at, __u32 tail, __u32 *tcp, __u32 *end)
{
	__be32 ip[IP_LEN / 4];
	__u8 *byte = (void *)ip;
	__u32 words, frag;

	if (at + IP_LEN > tail || bpf_probe_read_kernel(ip, sizeof(ip), head + at))
		return false;
	words = bpf_ntohl(ip[0]);
	frag = bpf_ntohl(ip[1]) & 0xffff;
	if (words >> 28 != 4 || byte[9] != IPPROTO_TCP || (frag & IP_OFFSET))
		return false;
	ipv4_mapped(p->src, ip[3]);
	ipv4_mapped(p->dst, ip[4]);
	p->fragment = (frag & IP_MF) != 0;
	*tcp = at + (words >> 24 & 15) * 4;
	*end = words & 0xffff ? at + (words & 0xffff) : 0;
	return true;
}

static __always_inline bool look_ip6(struct packet *p, unsigned char *head, __u32 at, __u32 tail, __u32 *tcp, __u32 *end)
{
	__be32 ip[IP6_LEN / 4];
	__u8 *byte = (void *)ip, hop[2], next;
	__u32 len;

	if (at + IP6_LEN > tail || bpf_probe_read_kernel(ip, sizeof(ip), head + at))
		return false;
	if (byte[0] >> 4 != 6)
		return false;
	next = byte[6];
	*tcp = at + IP6_LEN;
	if (next == NEXTHDR_HOP) {
		if (at + IP6_LEN + HOP_LEN > tail || bpf_probe_read_kernel(hop, sizeof(hop), head + at + IP6_LEN))
			return false;
		next = hop[0];
		*tcp += (hop[1] + 1) * 8;
	}
	if (next != IPPROTO_TCP)
		return false;
	__builtin_memcpy(p->src, ip + 2, 16);
	__builtin_memcpy(p->dst, ip + 6, 16);
	p->fragment = 0;
	len = bpf_ntohl(ip[1]) >> 16;
	*end = len ? at + IP6_LEN + len : 0;
	return true;
}

/* Cheap for what is no TCP: it leaves after one load or two reads. */
static __always_inline enum parse_result packet_parse(struct packet *p, struct sk_buff *skb, const bool typed)
{
	__be16 protocol = FOLLOW(typed, skb, protocol);
	__u32 at = 0, tail, end = 0, tcp = 0, data;
	struct skb_shared_info *shared;
	struct tcp_header th;
	unsigned char *head;
	struct sock *sk;

	p->addressed = protocol != 0;
	p->fragment = 0;
	if (protocol == bpf_htons(ETH_P_IP) || protocol == bpf_htons(ETH_P_IPV6)) {
		head = FOLLOW(typed, skb, head);
		at = FOLLOW(typed, skb, network_header);
		tail = FOLLOW(typed, skb, tail);
		if (!at)
			at = FOLLOW(typed, skb, data) - head;
		if (protocol == bpf_htons(ETH_P_IP)) {
			if (!look_ip4(p, head, at, tail, &tcp, &end))
				return PARSE_OTHER;
		} else if (!look_ip6(p, head, at, tail, &tcp, &end)) {
			return PARSE_OTHER;
		}
	} else if (!protocol) {
		sk = BPF_CORE_READ(skb, sk);
		tcp = FOLLOW(typed, skb, transport_header);
		if (!sk || tcp == 0xffff || !is_full(BPF_CORE_READ(sk, __sk_common.skc_state)) || !is_tcp(sk))
			return PARSE_OTHER;
		head = FOLLOW(typed, skb, head);
		tail = FOLLOW(typed, skb, tail);
	} else {
		return PARSE_OTHER;
	}
	p->len = FOLLOW(typed, skb, len);
	data = FOLLOW(typed, skb, data) - head;
	p->framed = p->addressed && data < at;
	/* The data ends with what IP says, as short frames are padded, or else with the packet. */
	if (!look_tcp(&th, &p->data_len, head, tcp, tail, end ? end : data + p->len))
		return PARSE_FAILED;
	p->source = bpf_ntohs(th.source);
	p->dest = bpf_ntohs(th.dest);
	p->seq = bpf_ntohl(th.seq);
	p->ack_seq = bpf_ntohl(th.ack_seq);
	p->tcp_flags = tcp_header_flags(&th);
	p->mark = FOLLOW(typed, skb, mark);
	shared = (void *)(head + FOLLOW(typed, skb, end));
	p->segs = BPF_CORE_READ(shared, gso_segs);
	if (!p->segs)
		p->segs = 1;
	return PARSE_TCP;
}

/*
 * The direction of a packet, seen from the socket if there is one: its port shows it. If it does not (none, both, or an address
 * translation is at work), a packet whose socket the tracepoint names has most likely come in (7.2 names it for some that
 * go out, too); else the path so far shows it. What came in has its interface, but not before the core has it; what goes
 * out has a route until it is queued, and most links' header from then on, which the other has lost.
 */
static __always_inline void packet_direct(struct packet *p, struct sk_buff *skb, struct sock *sk, bool named)
{
	__u32 iif = BPF_CORE_READ(skb, skb_iif);
	__u16 num = sk ? BPF_CORE_READ(sk, __sk_common.skc_num) : 0;

	if (!p->addressed)
		p->outgoing = 1;
	else if (num && (p->source == num) != (p->dest == num))
		p->outgoing = p->source == num;
	else if (named)
		p->outgoing = 0;
	else
		p->outgoing = !iif && (p->framed || BPF_CORE_READ(skb, _skb_refdst));
	p->ifindex = p->outgoing ? 0 : iif;
}

/*
 * The interface and its namespace. In a tree (of fragments, a socket's, a queueing discipline's) `dev` is something else:
 * then its namespace is none.
 */
static __always_inline void packet_device(struct packet *p, struct sk_buff *skb)
{
	struct net_device *dev = BPF_CORE_READ(skb, dev);
	__u32 inum = dev ? BPF_CORE_READ(dev, nd_net.net, ns.inum) : 0;

	p->netns = inum >= FIRST_NS_INUM ? inum : 0;
	if (p->netns && !p->ifindex)
		p->ifindex = BPF_CORE_READ(dev, ifindex);
}

/* Our side is where it comes from or where it goes to. */
static __always_inline void packet_ends(struct tcc_head *head, const struct packet *p)
{
	if (!p->addressed)
		return;
	__builtin_memcpy(head->saddr, p->outgoing ? p->src : p->dst, 16);
	__builtin_memcpy(head->daddr, p->outgoing ? p->dst : p->src, 16);
	head->sport = p->outgoing ? p->source : p->dest;
	head->dport = p->outgoing ? p->dest : p->source;
}

/*
 * Makes the cookie of its socket, in a typed program. Newer verifiers take skb->sk for a pointer that only RCU protects,
 * which the helper does not accept; reached through struct socket of its file, the pointer is of the type that the helper accepts. Where there is no
 * such half (not accepted yet, or closed) the cookie is there or not.
 */
static __always_inline void packet_cookie(struct sk_buff *skb)
{
	struct sock *sk = skb->sk;

	if (sk && sk->sk_socket)
		bpf_get_socket_cookie(sk->sk_socket->sk);
}

/* The filters that a packet without a socket can pass, beside those of the head. */
static __always_inline bool filter_packet(const struct packet *p)
{
	if (ON(TCC_FILTER_NETNS) && !value_in(TCC_FILTER_NETNS, p->netns))
		return false;
	if (ON(TCC_FILTER_MARK) && !value_in(TCC_FILTER_MARK, p->mark))
		return false;
	if (ON(TCC_FILTER_IFACE) && !(p->ifindex && value_in(TCC_FILTER_IFACE, p->ifindex)))
		return false;
	return true;
}

#endif
