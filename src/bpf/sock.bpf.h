/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From the kernel's sockets to our records. `sk` and `tp` are what may be loaded from: the real ones in a typed program, else
 * copies.
 *
 * A member of the tracepoint's own argument, a struct sock, is a plain load in a typed program. One of struct tcp_sock is
 * not: bpf_skc_to_tcp_sock() gives a pointer that the verifier does not trust, so each load checks its address. All of them
 * together cost no more than one probe read of the whole.
 */
#ifndef __TCC_SOCK_BPF_H__
#define __TCC_SOCK_BPF_H__

#include "kernel.h"
#include "event.h"
#include "maps.bpf.h"
#include "compat.bpf.h"
#include "mptcp.bpf.h"

static __always_inline void ipv4_mapped(__u8 out[16], __be32 v4)
{
	__be32 *word = (void *)out;

	word[0] = 0;
	word[1] = 0;
	word[2] = bpf_htonl(0xffff);
	word[3] = v4;
}

static __always_inline void load_addrs(struct sock *sk, __u8 saddr[16], __u8 daddr[16])
{
	__be32 *s = (void *)saddr, *d = (void *)daddr;

	if (is_ipv6(sk->__sk_common.skc_family)) {
		s[0] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[0];
		s[1] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[1];
		s[2] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[2];
		s[3] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[3];
		d[0] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[0];
		d[1] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[1];
		d[2] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[2];
		d[3] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[3];
	} else {
		ipv4_mapped(saddr, sk->__sk_common.skc_rcv_saddr);
		ipv4_mapped(daddr, sk->__sk_common.skc_daddr);
	}
}

/* The socket, and the packet, as far as there is room for them. False where the kernel does not let us read. */
static __always_inline bool copy_sock(struct copies *copy, struct sock *sk)
{
	__u64 size = bpf_core_type_size(struct tcp_sock);

	return !bpf_probe_read_kernel(copy->sock, size < sizeof(copy->sock) ? size : sizeof(copy->sock), sk);
}

static __always_inline bool copy_skb(struct copies *copy, struct sk_buff *skb)
{
	__u64 size = bpf_core_type_size(struct sk_buff);

	return !bpf_probe_read_kernel(copy->skb, size < sizeof(copy->skb) ? size : sizeof(copy->skb), skb);
}

/* `typed`: it is the socket itself, in a program where the verifier knows that. */
static __always_inline void load_head(struct tcc_head *h, struct sock *sk, __u8 event_type, __u16 len, const bool typed)
{
	h->mono_ns = bpf_ktime_get_ns();
	h->cookie = sk->__sk_common.skc_cookie.counter;
	if (typed && !h->cookie && cfg.cookie_helper)
		h->cookie = bpf_get_socket_cookie(sk);
	load_addrs(sk, h->saddr, h->daddr);
	h->sport = sk->__sk_common.skc_num;
	h->dport = bpf_ntohs(sk->__sk_common.skc_dport);
	h->event_type = event_type;
	h->flags = 0;
	h->len = len;
}

/* Exact for every CONFIG_HZ that divides a million; else within a millionth. */
static __always_inline __u64 jiffies_us(__u32 jiffies)
{
	return jiffies * cfg.us_per_jiffy_q16 >> 16;
}

/* tcp_current_ssthresh(): while cwnd is not being reduced, three quarters of it count as well. */
static __always_inline __u32 current_ssthresh(__u32 snd_ssthresh, __u32 snd_cwnd, __u8 ca_state)
{
	__u32 from_cwnd = (snd_cwnd >> 1) + (snd_cwnd >> 2);

	if (ca_state == TCP_CA_CWR || ca_state == TCP_CA_RECOVERY)
		return snd_ssthresh;
	return snd_ssthresh > from_cwnd ? snd_ssthresh : from_cwnd;
}

/* `sk` is the real one in any program. */
static __always_inline bool all_is_sent(struct sock *sk, const bool typed)
{
	struct tcp_sock *tp = (void *)sk;

	if (typed)
		tp = casts_socks() ? tcp_sock_at((__u64)sk) : bpf_skc_to_tcp_sock(sk);
	return tp && FOLLOW(typed, tp, write_seq) == FOLLOW(typed, tp, snd_nxt);
}

static __always_inline __u8 load_ca_state(struct tcp_sock *tp)
{
	return BPF_CORE_READ_BITFIELD((struct inet_connection_sock *)tp, icsk_ca_state);
}

#endif
