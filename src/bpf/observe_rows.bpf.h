/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The rows of sums of `observe`. */
#ifndef __TCC_OBSERVE_ROWS_BPF_H__
#define __TCC_OBSERVE_ROWS_BPF_H__

#include "kernel.h"
#include "observe.h"
#include "observe_maps.bpf.h"
#include "maps.bpf.h"

#define OBSERVE(row, index, value) __sync_fetch_and_add(&(row)->n[index], value)

/* The key's row, made if need be; where there is no room for it, the one for all that have none, which is not its `own`. */
static __always_inline struct tcc_observed *observed_of(const struct tcc_observe_moment *moment, bool *own)
{
	struct tcc_observed *row = bpf_map_lookup_elem(&observed, &moment->key);
	__u32 rest = OBSERVED_REST;

	*own = true;
	if (!row) {
		bpf_map_update_elem(&observed, &moment->key, (const void *)&no_observed, BPF_NOEXIST);
		row = bpf_map_lookup_elem(&observed, &moment->key);
	}
	if (row) {
		if (moment->cookie)
			row->cookie = moment->cookie;
		return row;
	}
	*own = false;
	return bpf_map_lookup_elem(&observed_rest, &rest);
}

#endif
