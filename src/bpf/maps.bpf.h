/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps that several parts share, with who writes, who reads and what bounds them. Sizes marked * are set before load. */
#ifndef __TCC_MAPS_BPF_H__
#define __TCC_MAPS_BPF_H__

#include "kernel.h"
#include "event.h"
#include "lifecycle.h"
#include "record.h"
#include "summary.h"
#include "observe.h"
#include "config.h"

const volatile struct tcc_config cfg = {};

/* Port filters as bit sets: any list of ports and ranges costs one load. Written before load. */
const volatile __u64 ports_either[1024] = {};
const volatile __u64 ports_local[1024] = {};
const volatile __u64 ports_peer[1024] = {};

/* Records to the reader; only the chosen transport's map is created. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096); /* * bytes */
} events_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} events_perf SEC(".maps");

/*
 * Where a record is built for the perf buffer, which copies it: too large for the stack. tcp_probe runs in process
 * context too, and a softirq can nest a second run on the same CPU: of the same program before 6.1
 * (05b24ff9b2cf), of its fallback since. Hence one slot per depth.
 */
#define SCRATCH_DEPTH 4

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_DEPTH);
	__type(key, __u32);
	__type(value, union tcc_record);
} scratch SEC(".maps");

/*
 * Copies of the socket and the packet (see copy_sock()); a slot per depth as above. The sizes leave room to grow. And what is worked
 * out of them: of values on the stack the verifier would know, on each way on which they were stored, where from.
 */
struct copies {
	__u8 sock[4096];
	__u8 skb[512];
	struct tcc_head head;
	struct tcc_observe_moment moment;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_DEPTH);
	__type(key, __u32);
	__type(value, struct copies);
} copies SEC(".maps");

/*
 * What every program needs, behind one look-up. The counters are read by the reader at any time, and summed over all CPUs and
 * over the two rows that `probe` has: see probe_counters().
 */
struct tcc_cpu {
	struct tcc_counters counters[TCC_EVENT_MAX + 1];
	struct tcc_marks marks[TCC_HOOKS];
	__u32 copies_depth;
	__u32 scratch_depth;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcc_cpu);
} cpus SEC(".maps");

/* Written by the reader before it waits. `sleep` is cleared here by the record that wakes it. */
volatile struct tcc_reader reader = {};

/*
 * The same value, of which the verifier does not know the bounds. It follows a value that it knows through all that comes after
 * it: where one of several constants was chosen, once for each. So one that is decided early, and used late, passes here.
 */
static __always_inline __u64 unknown(__u64 value)
{
	return value + reader.zero;
}

/* The token bucket of --rate, of all CPUs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} rate_bucket SEC(".maps");

/*
 * A row for each key; inserted by its first event, read by the reader at any time, and removed by it when it has been idle.
 * The reader makes it a per-CPU one where all CPUs would work on few rows, and an array where there are no keys. Not LRU: that one throws rows away long before
 * it is full where there are many CPUs (before 6.16, d4adf1c9ee77), and does not count them.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH); /* * */
	__uint(max_entries, 1); /* * */
	__type(key, struct tcc_key); /* * */
	__type(value, struct tcc_histogram);
} histograms SEC(".maps");

/* What found no room there. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TCC_VALUES);
	__type(key, __u32); /* enum tcc_value */
	__type(value, struct tcc_histogram);
} histogram_rest SEC(".maps");

/* What a new row begins as: too large for the stack. */
const volatile struct tcc_histogram no_events = {};

/* The initial value of a row of sums: too large for the stack. */
const volatile struct tcc_sums no_sums = {};

/* The same where rows are sums; always shared by all CPUs, as such events are rare. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, struct tcc_key);
	__type(value, struct tcc_sums);
} sums SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcc_sums);
} sums_rest SEC(".maps");

/* Key: the socket's address. Written by each change of the state, removed by the change to CLOSE or by tcp_destroy_sock. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, __u64);
	__type(value, struct tcc_ca_state_time);
} ca_state_times SEC(".maps");

/* Where the iterator over connections builds its records; it runs for one reader at a time. */
struct conn_snapshot_copy {
	__u8 sock[4096];
	struct tcc_conn_limits record;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct conn_snapshot_copy);
} conn_snapshot_copies SEC(".maps");

/* The same for the iterator over listening sockets. */
struct listener_copy {
	__u8 sock[4096];
	struct tcc_listen_drop row;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct listener_copy);
} listener_copies SEC(".maps");

/* Filter lists: written before attach. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, struct tcc_filter_key);
	__type(value, __u8);
} filter_values SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1); /* * */
	__type(key, struct tcc_addr_key);
	__type(value, __u8);
} filter_addrs SEC(".maps");

/*
 * State kept between the events of a connection: its owner, and that of the per-connection limits. Two CPUs may work on one
 * entry: a process that uses the socket, or the iterator over files, beside a softirq. So each flag is a byte of its own: of
 * bits in one word a write would undo the other CPU's, and atomic operations on bits exist since 5.12 only.
 */
struct conn {
	__u64 owner_jiffies; /* when the owner was updated, or a scan was requested */
	__u64 emitted_ns;
	__u64 bucket_ns;
	__u64 state_ns; /* when it came into its state; 0: not seen */
	__u64 ca_state_ns; /* the same of its recovery state */
	__u64 opened_ns; /* when it began to connect, or its listener made it; 0: not seen */
	__u64 established_ns; /* 0: not seen */
	__u64 syn_ns; /* when the first of several SYNs was sent, with TCP_FASTOPEN_CONNECT; 0: not seen */
	__u64 srtt_sum_us; /* of its samples: see conn_sampled() */
	__u32 srtt_samples;
	__u32 srtt_max_us;
	__u32 snd_cwnd_max;
	__u32 handshake_us; /* until then; 0: not known */
	__u32 count;
	__u32 snd_cwnd;
	__u32 snd_ssthresh;
	__u32 tgid; /* 0: not known */
	__u8 comm[TCC_COMM_LEN];
	__u8 ca_state;
	__u8 asks;
	__u8 traced; /* belongs to the command that we started */
	__u8 is_listeners; /* tgid is that of the listener: not accepted yet, as far as we saw */
	__u8 born; /* its beginning was seen */
	__u8 active; /* it connected, and was not accepted */
	__u8 reset_received;
	__u8 reset_sent;
	__u8 listed; /* reported as open when the trace began */
	__u8 deferred; /* its listener has TCP_DEFER_ACCEPT, and drops an ACK without data; or may have */
	__u8 accepted; /* reported by `accept` */
	__u8 ca_seen; /* its recovery state at the last look, and 1; 0: none was taken */
	__u32 generation; /* grows with each connection of the socket after the first, where `top` needs it */
	__u32 stale_err_soft; /* what the socket had when it began to connect: the errors of an earlier connection */
	__u32 unused;
	__u64 stale_error; /* the youngest message in its error queue */
};

/* The initial value of an entry: too large for the stack. */
const volatile struct conn no_conn = {};

/*
 * Key: the socket's address (the record reader: its cookie). Inserted by the first event that needs it, where
 * a process connects or listens, and by each run of the iterator; removed by tcp_destroy_sock, so that a reused address
 * starts anew. LRU bounds it: where there are more connections than entries the idle ones are evicted and learnt again.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, __u64);
	__type(value, struct conn);
} conns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcc_entry_counts);
} entry_counts SEC(".maps");

enum {
	ZERO_PEER = 1,
	ZERO_LOCAL = 2,
	ZERO_PEER_MAYBE = 4, /* the packet at peer_ns said so; the next hook shows whether the kernel took it */
};

/* A connection with a window that is zero, whichever side's. */
struct zero_window {
	__u64 peer_ns; /* since when; 0: not known */
	__u64 local_ns;
	__u64 local_seen_ns; /* last seen to be zero */
	__u32 probes; /* that were sent meanwhile */
	__u32 sides; /* ZERO_…: which are zero */
};

/* Key: the socket's address. Inserted where a window closes, removed where all are open again, at the latest by
 * tcp_destroy_sock. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, __u64);
	__type(value, struct zero_window);
} zero_windows SEC(".maps");

struct zero_watch {
	__s64 count; /* entries that were made and not removed: while there is none, a packet costs no look-up */
	__u64 since_ns; /* when the first packet was seen: what was before that was not */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct zero_watch);
} zero_watches SEC(".maps");

/* A connection at its last comparison, for `spurious`. */
struct spurious_state {
	__u64 packet_ns; /* of the last packet */
	__u64 retrans_ns; /* the first retransmission since the marker was set; 0: none was seen */
	__u32 undo_marker;
	__u32 base_retrans; /* total_retrans when it was set */
	__u32 undo_retrans; /* tp->undo_retrans: retransmissions since then that no DSACK has reported */
	__u32 dsack_dups;
	__u32 total_retrans;
	__u32 high_seq;
	__u32 snd_cwnd;
	__u32 snd_ssthresh;
	__u32 dsack_seq; /* of the packet that the kernel has processed since; both 0: it had none */
	__u32 dsack_end_seq;
	__u8 ca_state;
	__u8 state;
	__u8 has_base; /* else the trace began after that */
	__u8 unused;
};

/*
 * Key: the socket's address. Inserted by a connection's first retransmission, or by the first comparison in or after another state than
 * Open; removed by tcp_destroy_sock.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, __u64);
	__type(value, struct spurious_state);
} spurious_states SEC(".maps");

/* Who listens where; inserted and removed by inet_sock_set_state, inserted by the iterator. */
struct listener_key {
	__u8 saddr[16];
	__u64 net;
	__u32 sport;
	__u32 unused;
};

struct listener {
	__u32 tgid; /* 0: several processes listen there (SO_REUSEPORT) */
	__u32 traced;
	__u8 comm[TCC_COMM_LEN]; /* none where there are several */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, struct listener_key);
	__type(value, struct listener);
} listeners SEC(".maps");

/* When a connection's first SYN-ACK was sent, of those that it was sent again for: the kernel does not measure these. */
struct synack_key {
	struct listener_key local;
	__u8 daddr[16];
	__u64 dport;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* * */
	__type(key, struct synack_key);
	__type(value, __u64); /* µs of CLOCK_MONOTONIC */
} synacks SEC(".maps");

/* The time that the records have; written by `kernel_clock`, read by the reader that runs it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} kernel_time SEC(".maps");

#endif
