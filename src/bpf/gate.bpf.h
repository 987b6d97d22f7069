/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The gate of TCC_RECORD: which connections are recorded now. Other actions go on for all of them. */
#ifndef __TCC_GATE_BPF_H__
#define __TCC_GATE_BPF_H__

#include "kernel.h"
#include "config.h"
#include "maps.bpf.h"

/*
 * Key: the cookie. Inserted and deleted by the reader at any time, only read here. The reader chooses its size, and an insertion
 * into a full one fails. Created only if `cfg.gated` is set.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, __u64);
	__type(value, __u8);
} gate SEC(".maps");

/* A connection without a cookie is not in it. */
static __always_inline bool pass_gate(const __u64 *cookie)
{
	return !cfg.gated || bpf_map_lookup_elem(&gate, cookie);
}

#endif
