// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Runs the programs' own test of --where on a record that the test has written. */
#include "kernel.h"
#include "predicate.bpf.h"

struct record {
	__u8 bytes[1024];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct record);
} records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} results SEC(".maps");

/* As event_end() has it: a constant to the verifier, not to the compiler. */
const volatile __u32 event_type = 0;

SEC("raw_tp")
int run_predicate(void *ctx)
{
	__u32 zero = 0;
	struct record *record = bpf_map_lookup_elem(&records, &zero);
	__u32 *result = bpf_map_lookup_elem(&results, &zero);

	if (record && result)
		*result = where_holds(record->bytes, event_type);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
