/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is counted in the kernel, and by what. Rules as in event.h. */
#ifndef __TCC_SUMMARY_H__
#define __TCC_SUMMARY_H__

#include "event.h"
#include "limits.h"

/* Which value is counted in histograms. */
enum tcc_value {
	TCC_VALUE_NONE = 0, /* none: events are records */
	TCC_VALUE_SRTT, /* of a sample; one of these four */
	TCC_VALUE_MIN_RTT,
	TCC_VALUE_RTTVAR,
	TCC_VALUE_MDEV,
	TCC_VALUE_CWND, /* these of a sample too, and any of all of them */
	TCC_VALUE_IN_FLIGHT,
	TCC_VALUE_DELIVERY_RATE,
	TCC_VALUE_PACING_RATE,
	TCC_VALUE_UNSENT,
	TCC_VALUE_LATENCY, /* of a connection's opening; all of these */
	TCC_VALUE_FAILED,
	TCC_VALUE_HANDSHAKE,
	TCC_VALUE_WAIT,
	TCC_VALUE_QUEUE, /* of a packet */
	TCC_VALUES,
};

/* What makes a row of its own; any of them together. */
enum tcc_by {
	TCC_BY_COOKIE = 1 << 0,
	TCC_BY_SADDR = 1 << 1,
	TCC_BY_SPORT = 1 << 2,
	TCC_BY_DADDR = 1 << 3,
	TCC_BY_DPORT = 1 << 4,
	TCC_BY_CGROUP = 1 << 5,
	TCC_BY_NETNS = 1 << 6,
	TCC_BY_CA = 1 << 7,
	TCC_BY_PID = 1 << 8, /* with its name */
	TCC_BY_COMM = 1 << 9,
	TCC_BY_IFACE = 1 << 10,
	TCC_BY_ENDS = TCC_BY_COOKIE | TCC_BY_SADDR | TCC_BY_SPORT | TCC_BY_DADDR | TCC_BY_DPORT,
};

/* A row's key; what it is not made of is zero. */
struct tcc_key {
	__u32 value; /* enum tcc_value: of histograms; enum tcc_observe_reason: of reasons. The index, where the rows are an array. */
	__u32 netns;
	__u64 cookie;
	__u64 cgroup_id;
	__u8 saddr[16];
	__u8 daddr[16];
	__u8 ca_name[TCC_CA_NAME_LEN];
	__u8 comm[TCC_COMM_LEN];
	__u32 reason; /* the kernel's number */
	__u32 ifindex; /* 0: not known */
	__u32 pid; /* 0: not known */
	__u16 sport;
	__u16 dport;
};

/* 16 buckets for each power of two: those below 32 hold one value each, the others are up to 1/16 wide. Any __u32 has one. */
#define TCC_SUB_BITS 4
#define TCC_BUCKETS ((33 - TCC_SUB_BITS) << TCC_SUB_BITS)

/* All zero is an empty one. Everything but min and max only grows, so the reader takes differences and resets nothing. */
struct tcc_histogram {
	__u64 sum;
	__u64 unset; /* events whose value the kernel had not set yet */
	__u32 max;
	__u32 not_min; /* ~min */
	__u64 buckets[TCC_BUCKETS];
};

/* What is added up in a row where it is no distribution: counts, or times in ns. */
#define TCC_SUMS 8

/* `retrans`: segments by class (enum tcc_retransmit_class), and what has none of those. */
enum tcc_retrans_sum {
	TCC_SUM_SYNACK = 6,
	TCC_SUM_EVENTS,
};

/* `cong`: ns in each recovery state by its number (enum tcp_ca_state), then events. */
enum tcc_cong_sum {
	TCC_SUM_CHANGES = 5,
	TCC_SUM_UNKNOWN, /* of those: the old state's beginning was not seen */
};

/* All zero is an empty one, and everything but the cookie only grows. */
struct tcc_sums {
	__u64 cookie; /* the connection's, where the row is one's; 0: not known */
	__u64 n[TCC_SUMS];
};

/* A connection in a recovery state that is not over, and so in no sum yet. */
struct tcc_ca_state_time {
	struct tcc_key key; /* of the row that it belongs to */
	__u64 since_ns;
	__u8 ca_state;
	__u8 unused[7];
};

/* A connection at one moment. */
struct tcc_conn_snapshot {
	struct tcc_event event;
	__u64 sk; /* distinguishes connections that exist at the same time */
	__u8 born; /* begun during the trace: its counters began at zero */
	__u8 closed; /* this is its end */
	__u8 unused[2];
	__u32 generation; /* of connections of one socket, which have one cookie */
	__u8 ca_name[TCC_CA_NAME_LEN];
};

/* The same with the connection's account, for `top --limits`. */
struct tcc_conn_limits {
	struct tcc_conn_snapshot conn;
	struct tcc_limits limits; /* empty: not known */
};

TCC_NO_PADDING(struct tcc_conn_snapshot, ca_name);
TCC_NO_PADDING(struct tcc_conn_limits, limits);
TCC_NO_PADDING(struct tcc_key, dport);
TCC_NO_PADDING(struct tcc_histogram, buckets);
TCC_NO_PADDING(struct tcc_sums, n);
TCC_NO_PADDING(struct tcc_ca_state_time, unused);

/* Entries of a map, on one CPU. What was made, not removed and is not there was evicted. */
struct tcc_entries {
	__u64 made;
	__u64 removed;
};

/* Of the maps of these names, which keep state between events: see entries.bpf.h. */
struct tcc_entry_counts {
	struct tcc_entries conns;
	struct tcc_entries listeners;
	struct tcc_entries accepting;
	struct tcc_entries zero_windows;
	struct tcc_entries spurious_states;
	struct tcc_entries ca_state_times;
	struct tcc_entries synacks;
	struct tcc_entries queued_packets;
	struct tcc_entries closed_conns;
	struct tcc_entries listen_states;
	struct tcc_entries limits_conns;
};

#endif
