/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rare events added up here by key. */
#ifndef __TCC_SUMS_BPF_H__
#define __TCC_SUMS_BPF_H__

#include "kernel.h"
#include "summary.h"
#include "maps.bpf.h"

/* The key's row, made if need be; where there is no room for it, the one for all that have none, which is not its `own`. */
static __always_inline struct tcc_sums *sums_of(const struct tcc_key *key, bool *own)
{
	struct tcc_sums *row = bpf_map_lookup_elem(&sums, key);
	__u32 zero = 0;

	*own = true;
	if (row)
		return row;
	bpf_map_update_elem(&sums, key, (const void *)&no_sums, BPF_NOEXIST);
	row = bpf_map_lookup_elem(&sums, key);
	if (row)
		return row;
	*own = false;
	return bpf_map_lookup_elem(&sums_rest, &zero);
}

/* Several connections, and so several CPUs, may be at one row. */
#define SUM(row, index, value) __sync_fetch_and_add(&(row)->n[index], value)

#endif
