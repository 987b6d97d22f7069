/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a row of a summary is of. */
#ifndef __TCC_KEY_BPF_H__
#define __TCC_KEY_BPF_H__

#include "kernel.h"
#include "event.h"
#include "summary.h"
#include "maps.bpf.h"
#include "compat.bpf.h"
#include "sock.bpf.h"
#include "conn.bpf.h"
#include "filter.bpf.h"

#define BY(part) (cfg.by & TCC_BY_##part)

/* The network of an address, if rows are networks. */
static __always_inline void load_net(__u8 out[16], const __u8 addr[16])
{
	const __u32 *from = (const void *)addr;
	__u32 *to = (void *)out;

	if (is_mapped(addr)) {
		ipv4_mapped(out, from[3] & cfg.prefix4);
		return;
	}
	to[0] = from[0] & cfg.prefix6[0];
	to[1] = from[1] & cfg.prefix6[1];
	to[2] = from[2] & cfg.prefix6[2];
	to[3] = from[3] & cfg.prefix6[3];
}

/* Rows by owner, of a connection whose owner is known. */
static __always_inline void load_key_owner(struct tcc_key *key, const struct conn *conn)
{
	if (!(BY(PID) || BY(COMM)) || !conn || !owner_known(conn))
		return;
	if (BY(PID))
		key->pid = conn->tgid;
	__builtin_memcpy(key->comm, conn->comm, sizeof(key->comm));
}

/* What needs no socket. */
static __always_inline void load_key_ends(struct tcc_key *key, const struct tcc_head *head)
{
	if (BY(COOKIE))
		key->cookie = head->cookie;
	if (BY(SADDR))
		load_net(key->saddr, head->saddr);
	if (BY(DADDR))
		load_net(key->daddr, head->daddr);
	if (BY(SPORT))
		key->sport = head->sport;
	if (BY(DPORT))
		key->dport = head->dport;
}

/* `conn` may be NULL. `direct`: members of `tp` may be loaded, else they are read. */
static __always_inline void load_key(struct tcc_key *key, const struct tcc_head *head, struct sock *sk,
				     struct tcp_sock *tp, const struct conn *conn, const bool typed, const bool direct)
{
	struct inet_connection_sock *icsk = (void *)tp;
	const struct tcp_congestion_ops *ca_ops;

	load_key_ends(key, head);
	if (BY(CGROUP))
		key->cgroup_id = sock_cgroup_id(sk, typed);
	if (BY(NETNS))
		key->netns = FOLLOW(typed, sk, __sk_common.skc_net.net, ns.inum);
	if (BY(CA)) {
		ca_ops = direct ? icsk->icsk_ca_ops : BPF_CORE_READ(icsk, icsk_ca_ops);
		bpf_core_read_str(key->ca_name, sizeof(key->ca_name), &ca_ops->name);
	}
	if (BY(IFACE))
		key->ifindex = BPF_CORE_READ(sk, sk_dst_cache, dev, ifindex);
	load_key_owner(key, conn);
}

#endif
