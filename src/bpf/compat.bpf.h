/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every difference between kernels, one helper each; the commit or release that made it stands above. */
#ifndef __TCC_COMPAT_BPF_H__
#define __TCC_COMPAT_BPF_H__

#include "kernel.h"
#include "maps.bpf.h"

/*
 * One handler serves both flavours of a tracepoint program: NAME_btf, in which the verifier knows the arguments' types
 * (tp_btf), and NAME_raw (raw_tp), in which it does not. Many members are loaded from a copy of the struct, which is the
 * same in both; a few by FOLLOW, which is a plain load or a probe read. The verifier knows `typed`, also where it is passed to
 * a function, and never looks at the other branch.
 */
#define FOLLOW(typed, ...) ((typed) ? ___arrow(__VA_ARGS__) : BPF_CORE_READ(__VA_ARGS__))
/* 0 where this kernel's struct has no such member; the column then says null. */
#define LOAD_IF(ptr, member) (bpf_core_field_exists((ptr)->member) ? (ptr)->member : 0)

/* Without CONFIG_IPV6 a socket has no such addresses. */
static __always_inline bool is_ipv6(__u16 family)
{
	return bpf_core_field_exists(struct sock_common, skc_v6_daddr) && family == AF_INET6;
}

/*
 * From 7.0 (a46023d5616e) a tracepoint leaves preemption on: while a program is at work in process context, another task may run
 * it and others on this CPU, and end after it. Marks, and the slots by depth, are for runs that interrupt each other, of which
 * the last ends first. The functions are older (6.11); where they are not needed, they cost two nanoseconds.
 */
#ifdef TCC_WITHOUT_KFUNCS
static __always_inline void preemption_off(void) {}
static __always_inline void preemption_on(void) {}

static __always_inline bool casts_socks(void)
{
	return false;
}

static __always_inline struct tcp_sock *tcp_sock_at(__u64 address)
{
	return NULL;
}
#else
extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;

static __always_inline void preemption_off(void)
{
	if (bpf_ksym_exists(bpf_preempt_disable))
		bpf_preempt_disable();
}

static __always_inline void preemption_on(void)
{
	if (bpf_ksym_exists(bpf_preempt_enable))
		bpf_preempt_enable();
}

extern void *bpf_rdonly_cast(const void *, __u32) __ksym __weak;

/*
 * Since 6.2 (a35b9af4ec2c) the address of a socket can be cast to one, whose members are then loaded like those of
 * bpf_skc_to_tcp_sock(). The cast costs nothing at run time; the first call of a helper costs about 20 ns.
 */
static __always_inline bool casts_socks(void)
{
	return cfg.tcp_sock_type && bpf_ksym_exists(bpf_rdonly_cast);
}

static __always_inline struct tcp_sock *tcp_sock_at(__u64 address)
{
	return bpf_rdonly_cast((void *)address, cfg.tcp_sock_type);
}
#endif

/* 5.15 (8520e224f547): sk_cgrp_data.val became a plain pointer; before, bit 0 marks v1 data instead of one. */
static __always_inline struct cgroup *sock_cgroup(struct sock *sk)
{
	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
		return sk->sk_cgrp_data.cgroup;

	__u64 val = ((struct sock___5_10 *)sk)->sk_cgrp_data.val;

	return (val & 1) ? NULL : (struct cgroup *)val;
}

static __always_inline __u64 sock_cgroup_id(struct sock *sk, const bool typed)
{
	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
		return FOLLOW(typed, sk, sk_cgrp_data.cgroup, kn, id);
	return BPF_CORE_READ(sock_cgroup(sk), kn, id);
}

/* 6.1 (7f203bc89eb6): ancestors became pointers; before, an array of ids. */
static __always_inline __u64 cgroup_ancestor_id(struct cgroup *cg, int level)
{
	struct cgroup *ancestor = NULL;
	__u64 id = 0;

	if (bpf_core_field_exists(cg->ancestors)) {
		bpf_core_read(&ancestor, sizeof(ancestor), &cg->ancestors[level]);
		return BPF_CORE_READ(ancestor, kn, id);
	}
	bpf_core_read(&id, sizeof(id), &((struct cgroup___5_10 *)cg)->ancestor_ids[level]);
	return id;
}

/* When the pending timer fires, in jiffies. Until 6.15 icsk_timeout; then the timer itself, moved to struct sock in 6.19. */
static __always_inline __u32 retransmit_expires(struct sock *sk, struct tcp_sock *tp)
{
	struct inet_connection_sock___6_12 *icsk_612 = (void *)tp;
	struct inet_connection_sock___6_18 *icsk_618 = (void *)tp;
	struct sock___6_19 *sk_619 = (void *)sk;

	if (bpf_core_field_exists(icsk_612->icsk_timeout))
		return icsk_612->icsk_timeout;
	if (bpf_core_field_exists(icsk_618->icsk_retransmit_timer))
		return icsk_618->icsk_retransmit_timer.expires;
	if (bpf_core_field_exists(sk_619->tcp_retransmit_timer))
		return sk_619->tcp_retransmit_timer.expires;
	return bpf_jiffies64();
}

#endif
