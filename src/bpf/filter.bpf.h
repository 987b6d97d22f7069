/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The filters: AND across options, OR within a list. A stage is compiled in only if an option needs it. The cheapest come
 * first: ports are bit sets, addresses a trie, all else a hash of (filter, value).
 */
#ifndef __TCC_FILTER_BPF_H__
#define __TCC_FILTER_BPF_H__

#include "kernel.h"
#include "event.h"
#include "config.h"
#include "maps.bpf.h"
#include "owner_maps.bpf.h"
#include "compat.bpf.h"
#include "emit.bpf.h"

#define ON(filter) (cfg.filters & (filter))

static __always_inline bool port_in(const volatile __u64 *set, __u16 port)
{
	return set[(port >> 6) & 1023] >> (port & 63) & 1;
}

static __always_inline bool addr_in(__u32 filter, const __u8 addr[16], __u32 ifindex)
{
	struct tcc_addr_key key = { .prefixlen = 64 + 128, .filter = filter };

	__builtin_memcpy(key.addr, addr, 16);
	if (bpf_map_lookup_elem(&filter_addrs, &key))
		return true;
	if (!ON(TCC_FILTER_ZONE) || !ifindex)
		return false;
	key.ifindex = ifindex;
	return bpf_map_lookup_elem(&filter_addrs, &key);
}

static __always_inline bool value_in(__u32 filter, __u64 value)
{
	struct tcc_filter_key key = { .filter = filter };

	__builtin_memcpy(key.value, &value, sizeof(value));
	return bpf_map_lookup_elem(&filter_values, &key);
}

static __always_inline bool name_in(__u32 filter, const __u8 name[16])
{
	struct tcc_filter_key key = { .filter = filter };

	__builtin_memcpy(key.value, name, 16);
	return bpf_map_lookup_elem(&filter_values, &key);
}

static __always_inline bool is_mapped(const __u8 addr[16])
{
	const __be32 *word = (const void *)addr;

	return !word[0] && !word[1] && word[2] == bpf_htonl(0xffff);
}

static __always_inline bool end_is(int end, const __u8 addr[16], __u16 port)
{
	const volatile __u64 *one = (const volatile void *)cfg.follow_addr[end];
	const __u64 *other = (const void *)addr;

	return port == cfg.follow_port[end] && one[0] == other[0] && one[1] == other[1];
}

/* The zone that is given for our end or, failing that, for the peer's. */
static __always_inline bool follow_zone_is(int ours, __u32 ifindex)
{
	__u32 zone = cfg.follow_ifindex[ours] ?: cfg.follow_ifindex[!ours];

	return !zone || zone == ifindex;
}

/* Whichever end it is that we see; on one host both are there. */
static __always_inline bool filter_follow(const struct tcc_head *h, __u32 ifindex)
{
	return (end_is(0, h->saddr, h->sport) && end_is(1, h->daddr, h->dport) && follow_zone_is(0, ifindex)) ||
	       (end_is(1, h->saddr, h->sport) && end_is(0, h->daddr, h->dport) && follow_zone_is(1, ifindex));
}

/* The interface that link-local addresses are of: the socket is bound to it. */
static __always_inline __u32 zone_of(struct sock *sk)
{
	return ON(TCC_FILTER_ZONE) ? sk->__sk_common.skc_bound_dev_if : 0;
}

/* What the head decides, and the zone of its addresses (0: not known); the only filters of the record reader. */
static __always_inline bool filter_head(const struct tcc_head *h, __u32 ifindex)
{
	if (ON(TCC_FILTER_IPV4) && !is_mapped(h->daddr))
		return false;
	if (ON(TCC_FILTER_IPV6) && is_mapped(h->daddr))
		return false;
	if (ON(TCC_FILTER_PORT) && !port_in(ports_either, h->sport) && !port_in(ports_either, h->dport))
		return false;
	if (ON(TCC_FILTER_LPORT) && !port_in(ports_local, h->sport))
		return false;
	if (ON(TCC_FILTER_RPORT) && !port_in(ports_peer, h->dport))
		return false;
	if (ON(TCC_FILTER_FOLLOW) && !filter_follow(h, ifindex))
		return false;
	if (ON(TCC_FILTER_COOKIE) && !value_in(TCC_FILTER_COOKIE, h->cookie))
		return false;
	if (ON(TCC_FILTER_ADDR) && !addr_in(TCC_FILTER_ADDR, h->saddr, ifindex) &&
	    !addr_in(TCC_FILTER_ADDR, h->daddr, ifindex))
		return false;
	if (ON(TCC_FILTER_LADDR) && !addr_in(TCC_FILTER_LADDR, h->saddr, ifindex))
		return false;
	if (ON(TCC_FILTER_RADDR) && !addr_in(TCC_FILTER_RADDR, h->daddr, ifindex))
		return false;
	return true;
}

/* A cgroup filter takes the group and all below it, so each ancestor of the socket's group is looked up. */
static __always_inline bool filter_cgroup(struct sock *sk)
{
	struct cgroup *cg = sock_cgroup(sk);
	int level = BPF_CORE_READ(cg, level);

	for (int i = 0; i < 32; i++) {
		if (i > level)
			break;
		if (value_in(TCC_FILTER_CGROUP, cgroup_ancestor_id(cg, i)))
			return true;
	}
	return false;
}

static __always_inline bool filter_cc(struct tcp_sock *tp)
{
	const struct tcp_congestion_ops *ca_ops = ((struct inet_connection_sock *)tp)->icsk_ca_ops;
	__u8 name[TCC_CA_NAME_LEN] = {};

	bpf_core_read_str(name, sizeof(name), &ca_ops->name);
	return name_in(TCC_FILTER_CC, name);
}

/* The packet's mark or the socket's; `skb_mark` is 0 where the event has no packet. */
static __always_inline bool filter_mark(struct sock *sk, __u32 skb_mark)
{
	return value_in(TCC_FILTER_MARK, skb_mark) || value_in(TCC_FILTER_MARK, sk->sk_mark);
}

static __always_inline bool filter_iface(struct sock *sk, __u32 ifindex)
{
	__u32 bound = sk->__sk_common.skc_bound_dev_if;

	return (ifindex && value_in(TCC_FILTER_IFACE, ifindex)) || (bound && value_in(TCC_FILTER_IFACE, bound));
}

/* What is read from the socket. */
static __always_inline bool filter_sock(struct sock *sk, struct tcp_sock *tp, __u32 skb_mark, __u32 ifindex,
				       const bool typed)
{
	if (ON(TCC_FILTER_UID) && !value_in(TCC_FILTER_UID, sk->sk_uid.val))
		return false;
	if (ON(TCC_FILTER_NETNS) &&
	    !value_in(TCC_FILTER_NETNS, FOLLOW(typed, sk, __sk_common.skc_net.net, ns.inum)))
		return false;
	if (ON(TCC_FILTER_MARK) && !filter_mark(sk, skb_mark))
		return false;
	if (ON(TCC_FILTER_IFACE) && !filter_iface(sk, ifindex))
		return false;
	if (ON(TCC_FILTER_CC) && !filter_cc(tp))
		return false;
	if (ON(TCC_FILTER_CGROUP) && !filter_cgroup(sk))
		return false;
	return true;
}

/* What is known of the owner. A connection whose owner is not known is not anybody's. */
static __always_inline bool filter_owner(const struct conn *conn)
{
	if (!ON(TCC_FILTER_PID | TCC_FILTER_COMM | TCC_FILTER_TRACED_PIDS))
		return true;
	if (!conn)
		return false;
	if (ON(TCC_FILTER_TRACED_PIDS) && !conn->traced)
		return false;
	if (ON(TCC_FILTER_PID) && !value_in(TCC_FILTER_PID, conn->tgid))
		return false;
	if (ON(TCC_FILTER_COMM) && !name_in(TCC_FILTER_COMM, conn->comm))
		return false;
	return true;
}

/* It did not let that through; because of what is known, or because nothing is (any more) that would decide it? */
static __always_inline bool owner_undecided(const struct conn *conn)
{
	__u32 zero = 0, *refused;

	if (!conn || (!conn->tgid && !conn->is_listeners))
		return true;
	if (!ON(TCC_FILTER_TRACED_PIDS))
		return false;
	refused = bpf_map_lookup_elem(&traced_pids_refused, &zero);
	return refused && *refused;
}

static __always_inline void owner_refused(struct tcc_counters *n, const struct conn *conn)
{
	if (owner_undecided(conn))
		COUNT(n, undecided);
	else
		COUNT(n, filtered);
}

#endif
