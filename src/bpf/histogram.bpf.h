/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Events counted here by key and value. */
#ifndef __TCC_HISTOGRAM_BPF_H__
#define __TCC_HISTOGRAM_BPF_H__

#include "kernel.h"
#include "event.h"
#include "summary.h"
#include "maps.bpf.h"
#include "key.bpf.h"

/* The key's row, made if need be; where there is no room for it, the one for all that have none, which is not its `own`. */
static __always_inline struct tcc_histogram *histogram_of(const struct tcc_key *key, bool *own)
{
	struct tcc_histogram *row = bpf_map_lookup_elem(&histograms, key);
	__u32 value = key->value;

	*own = true;
	if (row)
		return row;
	bpf_map_update_elem(&histograms, key, (const void *)&no_events, BPF_NOEXIST);
	row = bpf_map_lookup_elem(&histograms, key);
	if (row)
		return row;
	*own = false;
	return bpf_map_lookup_elem(&histogram_rest, &value);
}

/* Unscaled as tcp_get_info() does; `unset` is what the kernel has before it knows. */
static __always_inline bool load_value(struct tcp_sock *tp, __u32 *value)
{
	switch (cfg.value) {
	case TCC_VALUE_MIN_RTT:
		*value = tp->rtt_min.s[0].v;
		return *value != ~0U;
	case TCC_VALUE_RTTVAR:
		*value = tp->rttvar_us >> 2;
		break;
	case TCC_VALUE_MDEV:
		*value = tp->mdev_us >> 2;
		break;
	default:
		*value = tp->srtt_us >> 3;
	}
	/* All three are set by the first sample of the RTT. */
	return tp->srtt_us >> 3;
}

/* Without branches, which the verifier would multiply with all that follows: a number that is too small borrows. */
static __always_inline __u32 bucket_of(__u32 value)
{
	__u64 left = value >> (TCC_SUB_BITS + 1);
	__u32 shift = 0, step;

#pragma unroll
	for (int bits = 16; bits; bits >>= 1) {
		step = (((1ULL << (bits - 1)) - 1 - left) >> 63) * bits;
		barrier_var(step);
		shift += step;
		left >>= step;
	}
	return (shift << TCC_SUB_BITS) + (value >> shift);
}

/*
 * Atomic adds: a nested run on the same CPU (see `scratch`) or, where CPUs share the rows, another CPU may be at the same
 * one. If two find a new extreme at the same time, one may be lost; the reader compares it with the buckets. False: the key
 * found no row of its own.
 */
static __always_inline bool histogram_count(const struct tcc_key *key, bool known, __u32 value)
{
	struct tcc_histogram *row;
	__u32 bucket;
	bool own;

	row = histogram_of(key, &own);
	if (!row)
		return false;
	if (!known) {
		__sync_fetch_and_add(&row->unset, 1);
		return own;
	}
	bucket = bucket_of(value);
	barrier_var(bucket);
	if (bucket >= TCC_BUCKETS)
		return false;
	__sync_fetch_and_add(&row->buckets[bucket], 1);
	__sync_fetch_and_add(&row->sum, value);
	if (value > row->max)
		row->max = value;
	if (~value > row->not_min)
		row->not_min = ~value;
	return own;
}

/* A sample. */
static __always_inline bool histogram_add(const struct tcc_head *head, struct sock *sk, struct tcp_sock *tp,
					  const struct conn *conn, const bool typed)
{
	struct tcc_key key = { .value = cfg.value };
	__u32 value;
	bool known;

	load_key(&key, head, sk, tp, conn, typed, true);
	known = load_value(tp, &value);
	return histogram_count(&key, known, value);
}

/* A time that is 0 where it is not known. */
static __always_inline bool histogram_time(struct tcc_key *key, __u32 which, __u64 ns)
{
	__u64 us = ns / 1000;

	key->value = which;
	return histogram_count(key, ns, us < ~0U ? us : ~0U);
}

#endif
