/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `observe`: what is added up of all connections, by key. Rules as in event.h. */
#ifndef __TCC_OBSERVE_H__
#define __TCC_OBSERVE_H__

#include "event.h"
#include "summary.h"
#include "inferred.h"
#include "limits.h"

/* What a row adds up. */
enum tcc_observe_sum {
	TCC_OBSERVE_ACTIVE_OPENS, /* attempts to connect that have ended, well or not */
	TCC_OBSERVE_PASSIVE_OPENS,
	TCC_OBSERVE_ESTABLISHED,
	TCC_OBSERVE_CLOSED,
	TCC_OBSERVE_FAILED, /* ended before they were established */
	TCC_OBSERVE_ABORTED, /* of those closed: from ESTABLISHED or CLOSE_WAIT, as EstabResets counts */
	TCC_OBSERVE_OPEN, /* found open, each time that all are read */
	TCC_OBSERVE_UNTRACKED, /* ended, and what they have transferred is not known */
	TCC_OBSERVE_BYTES_SENT, /* in the order of struct tcc_observe_totals */
	TCC_OBSERVE_BYTES_RETRANS,
	TCC_OBSERVE_BYTES_ACKED,
	TCC_OBSERVE_BYTES_RECEIVED,
	TCC_OBSERVE_SEGS_OUT,
	TCC_OBSERVE_SEGS_IN,
	TCC_OBSERVE_DATA_SEGS_OUT,
	TCC_OBSERVE_DATA_SEGS_IN,
	TCC_OBSERVE_RETRANS, /* segments by class: enum tcc_retransmit_class, six of them */
	TCC_OBSERVE_RETRANS_SYNACK = TCC_OBSERVE_RETRANS + TCC_RETRANSMIT_SYN + 1,
	TCC_OBSERVE_RESETS_RECEIVED,
	TCC_OBSERVE_RTOS, /* retransmissions by a timer, of one segment or several */
	TCC_OBSERVE_TLPS,
	TCC_OBSERVE_SPURIOUS, /* by how it was found: TCC_EVIDENCE_DSACK, and by which undo */
	TCC_OBSERVE_SPURIOUS_LAST = TCC_OBSERVE_SPURIOUS + TCC_UNDO_SYN,
	TCC_OBSERVE_CA_STATES, /* changes to each: enum tcp_ca_state */
	TCC_OBSERVE_CA_STATES_LAST = TCC_OBSERVE_CA_STATES + 4,
	TCC_OBSERVE_ZERO_WINDOWS_PEER, /* that began */
	TCC_OBSERVE_ZERO_WINDOWS_LOCAL,
	TCC_OBSERVE_LIMITS, /* ns of each cause: enum tcc_cause */
	TCC_OBSERVE_LIMITS_LAST = TCC_OBSERVE_LIMITS + TCC_CAUSES - 1,
	TCC_OBSERVE_EVENTS, /* that were added up here, each once */
	TCC_OBSERVE_SUMS,
};

/* Events that are added up by reason. */
enum tcc_observe_reason {
	TCC_REASON_RESET_SENT = 1,
	TCC_REASON_DROP,
	TCC_REASONS,
};

/* The reason of a kernel that gives none. */
#define TCC_NO_REASON (~0U)

/* All zero is an empty one, and everything but the cookie only grows. */
struct tcc_observed {
	__u64 cookie; /* the connection's, where the row is one's; 0: not known */
	__u64 n[TCC_OBSERVE_SUMS];
};

/* A socket's own counters. */
struct tcc_observe_totals {
	__u64 bytes_sent;
	__u64 bytes_retrans;
	__u64 bytes_acked;
	__u64 bytes_received;
	__u32 segs_out;
	__u32 segs_in;
	__u32 data_segs_out;
	__u32 data_segs_in;
};

/* A connection's account of what limits it; see struct tcc_limits. */
struct tcc_observe_limits {
	__u64 begin_ns; /* 0: there is none */
	__u64 ns[TCC_CAUSES];
};

/* These at one moment, and the row that they are added to. */
struct tcc_observe_moment {
	struct tcc_key key;
	__u64 cookie;
	struct tcc_observe_totals totals;
	struct tcc_observe_limits limits;
};

/* A connection at one moment, for `export --top`. */
struct tcc_top_conn {
	struct tcc_observe_totals totals;
	__u64 sk;
	__u64 cookie; /* 0: none was generated */
	__u8 saddr[16]; /* as in tcc_head */
	__u8 daddr[16];
	__u8 ca_name[TCC_CA_NAME_LEN];
	__u8 comm[TCC_COMM_LEN]; /* empty: not known */
	__u32 netns;
	__u32 total_retrans;
	__u32 srtt_us; /* 0: there is no sample */
	__u32 min_rtt_us; /* ~0: there is none */
	__u32 snd_cwnd;
	__u32 mss;
	__u32 rate_delivered;
	__u32 rate_interval_us; /* 0: there is no sample */
	__u16 sport;
	__u16 dport;
	__u32 unused;
};

TCC_NO_PADDING(struct tcc_top_conn, unused);
TCC_NO_PADDING(struct tcc_observed, n);
TCC_NO_PADDING(struct tcc_observe_totals, data_segs_in);
TCC_NO_PADDING(struct tcc_observe_limits, ns);
TCC_NO_PADDING(struct tcc_observe_moment, limits);

#endif
