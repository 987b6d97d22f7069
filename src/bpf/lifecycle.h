/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The records of a connection's life: how it was opened and accepted, and how it ended. Rules as in event.h. */
#ifndef __TCC_LIFECYCLE_H__
#define __TCC_LIFECYCLE_H__

#include "event.h"

enum tcc_outcome {
	TCC_OUTCOME_ESTABLISHED = 0,
	TCC_OUTCOME_REFUSED,
	TCC_OUTCOME_TIMEOUT,
	TCC_OUTCOME_ERROR,
	TCC_OUTCOME_ABORTED,
};

/* The end of an active open: sock:inet_sock_set_state out of SYN_SENT */
struct tcc_connect {
	struct tcc_event event;
	__u64 latency_ns; /* since the first SYN; 0: that was not seen, or there was none */
	__u64 syn_wait_ns; /* of that SYN for data, after connect(); TCC_UNKNOWN_NS: there was none, or not seen */
	__u32 err; /* errno; 0: none */
	__u8 outcome; /* enum tcc_outcome */
	__u8 unused[3];
};

/* A connection's counters that only its end shows. */
struct tcc_totals {
	__u64 bytes_sent;
	__u64 bytes_retrans;
	__u32 segs_in;
	__u32 segs_out;
	__u32 data_segs_in;
	__u32 data_segs_out;
	__u32 min_rtt_us;
	__u32 delivered;
	__u32 lost;
	__u32 dsack_dups;
};

/* tcp:tcp_destroy_sock */
struct tcc_destroy {
	struct tcc_event event;
	struct tcc_totals totals;
};

enum tcc_end {
	TCC_END_NONE = 0, /* it goes on */
	TCC_END_FIN,
	TCC_END_RESET_SENT,
	TCC_END_RESET_RECEIVED,
	TCC_END_TIMEOUT,
	TCC_END_ERROR,
	TCC_END_SILENT, /* nothing was sent and nothing came: TCP_REPAIR, or an orphan that the kernel gave up */
};

enum tcc_closed_by {
	TCC_CLOSED_BY_NONE = 0,
	TCC_CLOSED_BY_US,
	TCC_CLOSED_BY_PEER,
};

/* The end of a connection: sock:inet_sock_set_state into CLOSE; or one that is open when the trace begins */
struct tcc_life {
	struct tcc_event event;
	__u64 duration_ns; /* since ESTABLISHED; 0: not seen */
	__u64 bytes_sent;
	__u64 bytes_retrans;
	__u64 srtt_sum_us; /* of the samples */
	__u64 limits_observed_ns; /* the time that has causes, as in `limits`; 0: they are not known */
	__u64 limits_main_ns; /* of the cause with the most of it */
	__u32 srtt_samples; /* 0: none was taken; then neither is the next one known */
	__u32 srtt_max_us;
	__u32 snd_cwnd_max; /* 0: not known */
	__u32 handshake_us; /* 0: not known */
	__u32 min_rtt_us;
	__u32 rate_delivered;
	__u32 rate_interval_us;
	__u32 mss;
	__u32 err; /* errno; 0: none */
	__u8 reason; /* enum tcc_end */
	__u8 closed_by; /* enum tcc_closed_by */
	__u8 limits_main; /* that cause, and 1 (enum tcc_cause) */
	__u8 unused[1];
};

/* syscalls:sys_exit_accept, sys_exit_accept4 */
struct tcc_accept {
	struct tcc_event event;
	__u64 wait_ns; /* since ESTABLISHED; 0: not seen */
	__u32 handshake_us; /* 0: not known */
	__u32 backlog; /* of the listener, as is the next */
	__u32 max_backlog;
	__u8 has_listener;
	__u8 unused[3];
};

/* A listening socket, and what it has dropped: listen_drop.bpf.h */
struct tcc_listen_drop {
	struct tcc_event event;
	__u64 sk; /* by which a summary knows it again in its other files */
	__u64 interval_ns; /* since the snapshot that `drops` counts from; 0: there was none */
	__u64 syncookie_us; /* since a SYN cookie was sent, late by up to a second; TCC_UNKNOWN_NS: none was */
	__u32 drops;
	__u32 total_drops;
	__u32 backlog;
	__u32 max_backlog;
	__u32 syn_backlog;
	__u8 closed; /* it stops listening */
	__u8 unused[3];
};

TCC_NO_PADDING(struct tcc_totals, dsack_dups);
TCC_NO_PADDING(struct tcc_connect, unused);
TCC_NO_PADDING(struct tcc_life, unused);
TCC_NO_PADDING(struct tcc_accept, unused);
TCC_NO_PADDING(struct tcc_listen_drop, unused);

#endif
