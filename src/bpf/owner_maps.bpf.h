/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What owners are known by, apart from `conns` and `listeners`. */
#ifndef __TCC_OWNER_MAPS_BPF_H__
#define __TCC_OWNER_MAPS_BPF_H__

#include "kernel.h"

/* Grows when a sample's owner is not known; the reader looks at it from time to time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} owner_scan_requests SEC(".maps");

/*
 * When a write that found data unsent was last used to learn the socket's owner. A place for each of many sockets, by their
 * hash: one that finds another's there takes it over.
 */
#define OWNER_CHECKS 1024

struct owner_check {
	__u64 sk;
	__u64 jiffies;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OWNER_CHECKS);
	__type(key, __u32);
	__type(value, struct owner_check);
} owner_checks SEC(".maps");

/* The inode of the tracer's executable, by its address; set by the iterator, which the tracer itself runs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} tracer_exe SEC(".maps");

/* The processes of the command that we started: ours is put in before it is forked; fork adds, exit removes. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, __u32);
	__type(value, __u8);
} traced_pids SEC(".maps");

/* How many found no room there; counted here, read by the reader at any time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} traced_pids_refused SEC(".maps");

#endif
