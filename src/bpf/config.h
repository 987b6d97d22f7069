/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Settings that the Rust side gives the BPF programs: waiting, filters, output. Rules as in event.h. */
#ifndef __TCC_CONFIG_H__
#define __TCC_CONFIG_H__

#include "event.h"
#include "probe.h"
#include "summary.h"
#include "limits.h"
#include "observe.h"

/* How the reader waits: set by it before it blocks, cleared by whoever wakes it. */
enum tcc_sleep {
	TCC_AWAKE = 0,
	TCC_NAP = 1, /* has a timer: wake it only when wake_bytes are waiting */
	TCC_SLEEP = 2, /* has none: the next record wakes it */
};

struct tcc_reader {
	enum tcc_sleep sleep;
	__u32 started; /* it reads: events are reported from now on */
	__u64 zero; /* always 0: see unknown() */
};

/* What is done with the events of a type that pass the filters; any of them together. */
enum tcc_action {
	TCC_COUNT = 1 << 0, /* they are counted, and nothing else */
	TCC_AGGREGATE = 1 << 1, /* they are added up by key in the kernel */
	TCC_RECORD = 1 << 2, /* each is a record to the reader; the only action with limits and a gate */
	TCC_YIELD = 1 << 3, /* not to the last part of the buffer */
};

/* What is kept of connections between events, for those that need it. */
enum tcc_tracker {
	TCC_TRACK_OWNER = 1 << 0,
	TCC_TRACK_HISTORY = 1 << 1, /* when it began, and how long its handshake took */
	TCC_TRACK_RESETS = 1 << 2, /* who reset it */
	TCC_TRACK_SYNACK_TIME = 1 << 3, /* when a SYN-ACK that is sent again was first sent */
	TCC_TRACK_SYN_AGAIN = 1 << 4, /* the same of a SYN, with TCP_FASTOPEN_CONNECT */
	TCC_TRACK_SAMPLES = 1 << 5, /* RTT and window at each packet */
	TCC_TRACK_CLOSED = 1 << 6, /* ends and totals of closed connections */
	TCC_TRACK_SNAPSHOTS = 1 << 7, /* beginnings and ends, beside snapshots of all connections */
	TCC_TRACK_CA_STATE_TIME = 1 << 8, /* the time in congestion control states */
	TCC_TRACK_LIMITS = 1 << 9, /* what limits it, and for how long */
	TCC_TRACK_LIMITS_ENDS = 1 << 10, /* a record of that at its end */
	TCC_TRACK_OBSERVED = 1 << 11, /* what it has transferred */
};

/* Tracepoints whose programs have a fallback: see marks.bpf.h. */
enum tcc_hook {
	TCC_HOOK_tcp_probe,
	TCC_HOOK_inet_sock_set_state,
	TCC_HOOK_tcp_destroy_sock,
	TCC_HOOKS,
};

/* What distinguishes a run of such a program from the others of its tracepoint. */
struct tcc_mark {
	__u64 key; /* of the packet or the socket; 0: none */
	__u64 event; /* what distinguishes events of one address */
};

struct tcc_marks {
	struct tcc_mark in_softirq; /* of the last run there; of those in process context the task has it */
	__u64 left; /* runs that the first program has left to the second */
	__u64 caught; /* runs that the second program has taken: these, and those that the first was skipped for */
	__u64 taking; /* of the run that it is about to call the first for, the mark's key; 0: none */
};

/* The marks of a task, between the two programs of a tracepoint. */
struct tcc_task_marks {
	struct tcc_mark mark[TCC_HOOKS];
};

/* What a hash filter's value means; the key of `filter_values`. */
enum tcc_filter {
	TCC_FILTER_PID = 1 << 0,
	TCC_FILTER_UID = 1 << 1,
	TCC_FILTER_COMM = 1 << 2,
	TCC_FILTER_CGROUP = 1 << 3,
	TCC_FILTER_NETNS = 1 << 4,
	TCC_FILTER_IFACE = 1 << 5,
	TCC_FILTER_MARK = 1 << 6,
	TCC_FILTER_CC = 1 << 7,
	TCC_FILTER_COOKIE = 1 << 8,
	TCC_FILTER_TRACED_PIDS = 1 << 9, /* connections of the command that we started */
	TCC_FILTER_PORT = 1 << 10, /* either side */
	TCC_FILTER_LPORT = 1 << 11,
	TCC_FILTER_RPORT = 1 << 12,
	TCC_FILTER_ADDR = 1 << 13, /* either side */
	TCC_FILTER_LADDR = 1 << 14,
	TCC_FILTER_RADDR = 1 << 15,
	TCC_FILTER_IPV4 = 1 << 16,
	TCC_FILTER_IPV6 = 1 << 17,
	TCC_FILTER_FOLLOW = 1 << 18, /* both ends of one connection */
	TCC_FILTER_ZONE = 1 << 19, /* some of the addresses are of one interface only */
};

struct tcc_filter_key {
	__u8 value[16]; /* a number in its first 8 bytes, or a name; zero-filled */
	enum tcc_filter filter;
};

/* LPM key: the filter and the zone are part of the prefix, so that three address lists live in one trie. */
struct tcc_addr_key {
	__u32 prefixlen;
	enum tcc_filter filter;
	__u32 ifindex; /* 0: any */
	__u8 addr[16];
};

/* What a term of --where loads from the record. */
enum tcc_load {
	TCC_LOAD_U8,
	TCC_LOAD_U16,
	TCC_LOAD_U32,
	TCC_LOAD_S32,
	TCC_LOAD_U64,
	TCC_LOAD_BYTES, /* 16 of them */
};

/* What follows a term that ends the condition; any other number is that of the next term, counted from 1. */
enum tcc_where {
	TCC_WHERE_YES = 0,
	TCC_WHERE_NO = 255,
};

enum tcc_term_limit {
	TCC_EVENT_TERMS = 16, /* of one event type */
	TCC_TERMS = 64, /* of all */
};

enum tcc_trigger_limit {
	TCC_MOST_BEFORE = 256, /* samples */
};

/*
 * A test of a record. A number, masked, must be value[0] or up to value[1] above it, modulo 2^64; bytes, masked, must equal
 * `value`.
 */
struct tcc_term {
	__u64 mask[2];
	__u64 value[2];
	__u16 offset;
	__u8 load; /* enum tcc_load */
	__u8 if_true; /* enum tcc_where */
	__u8 if_false;
	__u8 unused[3];
};

/* Read-only for the programs: the verifier sees constants and drops the code that is not needed. */
struct tcc_config {
	__u64 every_ns;
	__u64 rate_interval_ns;
	__u64 rate_burst_ns;
	__u64 conn_rate_interval_ns;
	__u64 conn_rate_burst_ns;
	__u64 after_ns; /* of --trigger: for how long all is recorded */
	__u64 min_ns; /* what took less is not shown; 0: all is */
	__u64 us_per_jiffy_q16; /* 1e6 / CONFIG_HZ, 16 fractional bits */
	__u8 follow_addr[2][16]; /* as in tcc_head */
	__u32 follow_ifindex[2]; /* 0: any */
	__u16 follow_port[2];
	__u32 filters; /* of enum tcc_filter: which are on */
	__u32 sample;
	__u32 hz; /* CONFIG_HZ: jiffies per second */
	__u32 tcp_sock_type; /* the ID of struct tcp_sock in the kernel's BTF; 0: not known */
	__u32 before; /* of --trigger: samples that are kept of each connection */
	__u32 wake_bytes; /* of data waiting that wake the reader before its timer */
	enum tcc_value value; /* that is counted in histograms; of an opening's any of them */
	__u32 values; /* of `observe`: a bit for each that a sample is counted by */
	enum tcc_by by; /* their rows, several bits */
	__u32 prefix4; /* masks of the addresses in rows' keys, in network order */
	__u32 prefix6[4];
	enum tcc_event_type event_types; /* never read, as the next twelve: makes the enum part of the object's BTF */
	enum tcc_action action_names;
	enum tcc_tracker tracker_names;
	enum tcc_hook hook_names;
	enum tcc_retrans_sum retrans_sums;
	enum tcc_cong_sum cong_sums;
	enum tcc_load load_names;
	enum tcc_where where_names;
	enum tcc_term_limit term_limits;
	enum tcc_trigger_limit trigger_limits;
	enum tcc_cause cause_names;
	enum tcc_observe_sum observe_sums;
	enum tcc_observe_reason observe_reasons;
	__u32 trackers; /* of enum tcc_tracker: which are on */
	__u32 yield_bytes; /* of data waiting beyond which types that yield are lost */
	__u32 wake_mask; /* how often the ring is looked at: where these bits of the number of records are 0 */
	__u16 probe_len; /* of a record of `probe` */
	__u16 fields[TCC_FIELD_GROUPS]; /* of enum tcc_field_group: where each begins in that record; 0: not loaded */
	__u8 actions[(TCC_EVENT_MAX + 7) / 8 * 8]; /* of enum tcc_action; rounded up, so that a new type moves nothing */
	__u8 ringbuf; /* transport: ring buffer, else perf buffer */
	__u8 on_change;
	__u8 track_conn; /* keep an entry per connection */
	__u8 track_owner; /* and its owner */
	__u8 key_by_cookie; /* the record reader has no socket pointer */
	__u8 cookie_helper; /* bpf_get_socket_cookie() may be called in tp_btf: since 5.12 (c5dbb89fc2ac) */
	__u8 failed_only; /* of connect */
	__u8 stack; /* `drop` with the kernel's stack */
	__u8 keep_gone; /* keep the owner of the last connection that is gone, for the RST that comes after that */
	__u8 listeners; /* every listening socket is a row of a summary */
	__u8 sees_returns; /* of `connect`: what the system call returns */
	__u8 skips_nested; /* no program runs where it has interrupted itself: since 6.1 (05b24ff9b2cf) */
	__u8 inferred; /* `cong_state` is inferred at other tracepoints */
	__u8 gated; /* only connections in the gate are recorded */
	__u8 sees_writes; /* tcp_sendmsg_locked shows the end of idle time: since 6.16 */
	__u8 mainline_bbr; /* the state of BBR is laid out as in mainline */
	__u8 observe; /* events are added up as `observe` does */
	__u8 trigger; /* events that match are recorded with those before and after */
	__u8 top; /* observe_iter writes each connection */
	__u8 unused[5];
};

TCC_NO_PADDING(struct tcc_reader, zero);
TCC_NO_PADDING(struct tcc_marks, taking);
TCC_NO_PADDING(struct tcc_term, unused);
TCC_NO_PADDING(struct tcc_config, unused);

#endif
