/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records of event types without a tracepoint of their own: inferred at several others. Rules as in event.h. */
#ifndef __TCC_INFERRED_H__
#define __TCC_INFERRED_H__

#include "event.h"

/* A window closes or opens again: zero_window.bpf.h */
struct tcc_zero_window {
	struct tcc_event event;
	__u64 ago_ns; /* how long before the record it happened; TCC_UNKNOWN_NS */
	__u64 duration_ns; /* at the end; TCC_UNKNOWN_NS */
	__u32 wnd_bytes;
	__u32 probes;
	__s32 rmem_alloc;
	__s32 rcvbuf;
	__u8 local; /* our own window, else the peer's */
	__u8 end;
	__u8 closed;
	__u8 probes_out;
	__u8 backoff;
	__u8 unused[3];
};

enum tcc_spurious_evidence {
	TCC_EVIDENCE_DSACK = 0,
	TCC_EVIDENCE_UNDO,
};

/* Which undo, by the kernel's counters. */
enum tcc_undo {
	TCC_UNDO_NONE = 0,
	TCC_UNDO_FULL,
	TCC_UNDO_PARTIAL,
	TCC_UNDO_DSACK,
	TCC_UNDO_LOSS,
	TCC_UNDO_SYN,
};

/* Retransmissions were unnecessary: spurious.bpf.h */
struct tcc_spurious {
	struct tcc_event event;
	__u64 packet_ns; /* since the packet with the evidence; TCC_UNKNOWN_NS */
	__u64 retrans_ns; /* undo: since the first retransmission that it is about; TCC_UNKNOWN_NS */
	__u32 seq; /* of the unnecessary retransmissions */
	__u32 end_seq;
	__u32 segs;
	__u32 dsack_dups;
	__u32 old_snd_cwnd; /* at the last comparison */
	__u32 old_snd_ssthresh;
	__u32 prior_cwnd;
	__u32 prior_ssthresh;
	__u8 evidence; /* enum tcc_spurious_evidence */
	__u8 undo; /* enum tcc_undo */
	__u8 old_ca_state;
	__u8 new_ca_state;
	__u8 has_seq;
	__u8 has_segs;
	__u8 unused[2];
};

#define TCC_IF_NAME_LEN 16
#define TCC_QDISC_NAME_LEN 16

/* A packet is handed to a driver: queue.bpf.h. The interface's number is the owner's. */
struct tcc_queue {
	struct tcc_event event;
	__u64 queue_ns; /* since it was handed to the device; TCC_UNKNOWN_NS */
	__u64 qdisc_ns; /* of these, in the qdisc; TCC_UNKNOWN_NS: it went past it, or not known */
	__u32 seq;
	__u32 data_len;
	__u32 len;
	__u32 qlen; /* of the qdisc, as it came */
	__u32 backlog;
	__u32 dev_netns;
	__u16 queue_mapping;
	__u16 segs;
	__u16 tcp_flags;
	__u8 has_header; /* of TCP, in the clear */
	__u8 has_qlen;
	__u8 dev[TCC_IF_NAME_LEN];
	__u8 qdisc[TCC_QDISC_NAME_LEN]; /* empty: not known */
};

TCC_NO_PADDING(struct tcc_zero_window, unused);
TCC_NO_PADDING(struct tcc_spurious, unused);
TCC_NO_PADDING(struct tcc_queue, qdisc);

#endif
