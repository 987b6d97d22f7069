/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is remembered between events. These maps are LRU: when one is full what was idle for longest is forgotten, and the
 * books tell how much that was.
 */
#ifndef __TCC_MEMORY_BPF_H__
#define __TCC_MEMORY_BPF_H__

static __always_inline struct tcc_entries *entries_at(unsigned long offset)
{
	__u32 zero = 0;
	void *memories_here = bpf_map_lookup_elem(&memories, &zero);

	return memories_here ? memories_here + offset : NULL;
}

static __always_inline bool remember_at(void *map, unsigned long offset, const void *key, const void *value)
{
	struct tcc_entries *entries;

	if (bpf_map_update_elem(map, key, value, BPF_NOEXIST))
		return false;
	entries = entries_at(offset);
	if (entries)
		COUNT(entries, made);
	return true;
}

static __always_inline bool forget_at(void *map, unsigned long offset, const void *key)
{
	struct tcc_entries *entries;

	if (bpf_map_delete_elem(map, key))
		return false;
	entries = entries_at(offset);
	if (entries)
		COUNT(entries, removed);
	return true;
}

#define MEMORY(map) &map, __builtin_offsetof(struct tcc_memories, map)

/* Puts in what is not there; false: it is, or the map refuses. */
#define remember(map, key, value) remember_at(MEMORY(map), key, value)

/* Puts in, in place of what is there. */
#define remember_anew(map, key, value) \
	({ \
		if (!remember(map, key, value)) \
			bpf_map_update_elem(&map, key, value, BPF_ANY); \
	})

/* False: it was not there. */
#define forget(map, key) forget_at(MEMORY(map), key)

#endif
