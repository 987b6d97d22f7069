/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What limits connections, added up by key for `observe`: what a connection's account has grown by is added to its row whenever what its
 * socket has counted is.
 */
#ifndef __TCC_OBSERVE_LIMITS_BPF_H__
#define __TCC_OBSERVE_LIMITS_BPF_H__

#include "kernel.h"
#include "config.h"
#include "limits.h"
#include "limits_maps.bpf.h"
#include "limits_copy.bpf.h"
#include "maps.bpf.h"
#include "observe.h"
#include "observe_maps.bpf.h"
#include "observe_rows.bpf.h"

#define OBSERVES_LIMITS (cfg.observe && cfg.trackers & TCC_TRACK_LIMITS)

static __always_inline void observe_limits_copy(struct tcc_observe_limits *out, const struct tcc_limits *l)
{
	out->begin_ns = l->begin_ns;
	__builtin_memcpy(out->ns, l->ns, sizeof(out->ns));
}

/* By an event, which has the account to itself. */
static __noinline int observe_limits_load(struct tcc_observe_moment *out, __u64 sk)
{
	const struct tcc_limits *l = bpf_map_lookup_elem(&limits_conns, &sk);

	out->limits.begin_ns = 0;
	if (l)
		observe_limits_copy(&out->limits, l);
	return 0;
}

/* By whoever has the connection. Another account of the same socket begins at zero. */
static __noinline int observe_limits_take(const struct tcc_observe_moment *moment, __u64 sk, __u64 ends)
{
	const struct tcc_observe_limits *base = bpf_map_lookup_elem(&observed_limits, &sk);
	const struct tcc_observe_limits *now = &moment->limits;
	struct tcc_observed *row;
	bool own;
	int i;

	if (!base || base->begin_ns != now->begin_ns)
		base = (const void *)&no_observed_limits;
	row = observed_of(moment, &own);
	if (row && now->begin_ns) {
		for (i = 0; i < TCC_CAUSES; i++) {
			if (now->ns[i] != base->ns[i])
				OBSERVE(row, TCC_OBSERVE_LIMITS + i, now->ns[i] - base->ns[i]);
		}
		bpf_map_update_elem(&observed_limits, &sk, now, BPF_ANY);
	}
	if (ends)
		bpf_map_delete_elem(&observed_limits, &sk);
	return 0;
}

/* False for a copy that was made while an event worked on the account. */
static __noinline int observe_limits_is_whole(const struct tcc_limits *l)
{
	__u64 sum = 0;
	int i;

	for (i = 0; i < TCC_CAUSES; i++)
		sum += l->ns[i];
	return l->begin_ns && sum == l->t0_ns - l->begin_ns;
}

/*
 * By the iterator. If an event came meanwhile, it may have given time that was copied as one cause another one: then the account has all
 * time but the last microseconds, and the copy counts for nothing.
 */
static __noinline int observe_limits_read(struct observe_copy *copy, __u64 sk)
{
	const struct tcc_limits *l = bpf_map_lookup_elem(&limits_conns, &sk);
	__u64 t0_ns = copy->limits.t0_ns;

	copy->moment.limits.begin_ns = 0;
	if (!l || !observe_limits_is_whole(&copy->limits))
		return 0;
	limits_copied(&copy->limits, (void *)copy->sock, sk);
	l = bpf_map_lookup_elem(&limits_conns, &sk);
	if (!l)
		return 0;
	if (l->t0_ns != t0_ns) {
		copy->limits = *l;
		if (!observe_limits_is_whole(&copy->limits))
			return 0;
	}
	observe_limits_copy(&copy->moment.limits, &copy->limits);
	return 0;
}

/* Before the socket is copied: an event in between makes its state newer, and its interval longer than it was. */
static __always_inline void observe_limits_begin(struct observe_copy *copy, __u64 sk)
{
	const struct tcc_limits *l = bpf_map_lookup_elem(&limits_conns, &sk);

	copy->limits.begin_ns = 0;
	if (l)
		copy->limits = *l;
}

#endif
