/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Maps that keep state between events. They are LRU: when one is full, the kernel evicts the entry that was idle for longest.
 * Insertions and deletions are counted, so that the reader can compute how many entries were evicted.
 */
#ifndef __TCC_ENTRIES_BPF_H__
#define __TCC_ENTRIES_BPF_H__

#include "kernel.h"
#include "summary.h"
#include "maps.bpf.h"
#include "emit.bpf.h"

static __always_inline struct tcc_entries *entries_at(unsigned long offset)
{
	__u32 zero = 0;
	void *counts = bpf_map_lookup_elem(&entry_counts, &zero);

	return counts ? counts + offset : NULL;
}

static __always_inline bool entry_insert_at(void *map, unsigned long offset, const void *key, const void *value)
{
	struct tcc_entries *entries;

	if (bpf_map_update_elem(map, key, value, BPF_NOEXIST))
		return false;
	entries = entries_at(offset);
	if (entries)
		COUNT(entries, made);
	return true;
}

static __always_inline bool entry_delete_at(void *map, unsigned long offset, const void *key)
{
	struct tcc_entries *entries;

	if (bpf_map_delete_elem(map, key))
		return false;
	entries = entries_at(offset);
	if (entries)
		COUNT(entries, removed);
	return true;
}

#define ENTRY_MAP(map) &map, __builtin_offsetof(struct tcc_entry_counts, map)

/* Puts in what is not there; false: it is, or the map refuses. */
#define entry_insert(map, key, value) entry_insert_at(ENTRY_MAP(map), key, value)

/* Puts in, in place of what is there. */
#define entry_replace(map, key, value) \
	({ \
		if (!entry_insert(map, key, value)) \
			bpf_map_update_elem(&map, key, value, BPF_ANY); \
	})

/* False: it was not there. */
#define entry_delete(map, key) entry_delete_at(ENTRY_MAP(map), key)

#endif
