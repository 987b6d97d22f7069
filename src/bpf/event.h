/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The contract between the BPF programs and the Rust side: event types and record layouts (all of them: record.h).
 * Configuration: config.h.
 *
 * Rust sees these types through the skeleton (BTF), so a layout is written here and nowhere else.
 * Rules: fixed-width integers only, fields from large to small, no hidden padding (checked below): every byte of a
 * record is written by the program, and none of the kernel's memory leaks through a hole.
 *
 * Vocabulary: `local` is the traced socket's side (saddr, sport), `peer` the other (daddr, dport), whichever way the
 * packet went. Names are the kernel's; a unit is part of the name. Sequence numbers are raw and wrap at 2^32.
 */
#ifndef __TCC_EVENT_H__
#define __TCC_EVENT_H__

#include "vmlinux.h"

enum tcc_event_type {
	TCC_EVENT_PROBE = 0,
	TCC_EVENT_STATE,
	TCC_EVENT_RETRANSMIT,
	TCC_EVENT_SYNACK_RETRANSMIT,
	TCC_EVENT_RESET_SENT,
	TCC_EVENT_RESET_RECEIVED,
	TCC_EVENT_DESTROY,
	TCC_EVENT_CONG_STATE,
	TCC_EVENT_RCV_SPACE,
	TCC_EVENT_ERROR,
	TCC_EVENT_CONNECT,
	TCC_EVENT_LIFE,
	TCC_EVENT_ACCEPT,
	TCC_EVENT_DROP,
	TCC_EVENT_ZERO_WINDOW,
	TCC_EVENT_SPURIOUS,
	TCC_EVENT_QUEUE,
	TCC_EVENT_RCVBUF_GROW,
	TCC_EVENT_LISTEN_DROP,
	TCC_EVENT_SEND,
	TCC_EVENT_MAX,
};

/* A time that is not known. */
#define TCC_UNKNOWN_NS (~0ULL)

#define TCC_NO_PADDING(type, last) \
	_Static_assert(sizeof(type) == __builtin_offsetof(type, last) + sizeof(((type *)0)->last), #type " is padded")

#define TCC_COMM_LEN 16
#define TCC_CA_NAME_LEN 16

enum tcc_head_flag {
	TCC_HEAD_WIPED = 1, /* tcp_disconnect() has erased the peer's port: the ends are unknown */
};

/* Every record begins so. Addresses are IPv6; an IPv4 one is mapped (::ffff:a.b.c.d), so one form serves both. */
struct tcc_head {
	__u64 mono_ns; /* CLOCK_MONOTONIC */
	__u64 cookie; /* 0: the kernel gave none */
	__u8 saddr[16];
	__u8 daddr[16];
	__u16 sport;
	__u16 dport;
	__u8 event_type; /* enum tcc_event_type */
	__u8 flags; /* enum tcc_head_flag */
	__u16 len; /* of the whole record, checked by the reader */
};

/* Who holds the socket. */
struct tcc_owner {
	__u64 cgroup_id;
	__u64 ino; /* of the socket's file; 0: orphan, or not yet accepted */
	__u32 netns;
	__u32 ifindex; /* that the packet came in or goes out by; 0: not known */
	__u32 bound_dev_if, unused; /* 0: none */
	__u32 uid;
	__u32 pid; /* thread group; 0: not known */
	__u8 comm[TCC_COMM_LEN];
};

enum tcc_presence {
	TCC_SOCK_NONE = 0, /* there is no full socket */
	TCC_SOCK_PRESENT,
	TCC_SOCK_WIPED, /* there is one, but tcp_disconnect() has erased its counters */
};

/* What every event of a socket but `probe` shows of its connection; zero where the event has no full socket. */
struct tcc_tcp {
	__u64 bytes_acked;
	__u64 bytes_received;
	__u32 snd_cwnd;
	__u32 snd_ssthresh;
	__u32 snd_una;
	__u32 snd_nxt;
	__u32 write_seq;
	__u32 snd_wnd;
	__u32 rcv_wnd;
	__u32 srtt_us;
	__u32 packets_out;
	__u32 sacked_out;
	__u32 lost_out;
	__u32 retrans_out;
	__u32 total_retrans;
	__u8 state;
	__u8 ca_state;
	__u8 retransmits;
	__u8 present; /* enum tcc_presence */
	__u32 mptcp_token; /* of the connection that it is a subflow of; 0: none */
	__u32 unused;
};

/* What shapes its output, in the events that a sender is explained by. */
struct tcc_sender {
	__u64 pacing_rate;
	__u32 mss;
	__s32 wmem_queued;
};

/* How every such event begins. */
struct tcc_event {
	struct tcc_head head;
	struct tcc_owner owner;
	struct tcc_tcp tcp;
};

/* sock:inet_sock_set_state */
struct tcc_state {
	struct tcc_event event;
	struct tcc_sender sender;
	__u64 old_state_ns; /* time in the old state; 0: not known */
	__u8 old_state;
	__u8 new_state;
	__u8 unused[6];
};

enum tcc_retransmit_class {
	TCC_RETRANSMIT_OTHER = 0,
	TCC_RETRANSMIT_FAST,
	TCC_RETRANSMIT_RTO,
	TCC_RETRANSMIT_SLOW_START,
	TCC_RETRANSMIT_TLP,
	TCC_RETRANSMIT_SYN,
};

/* tcp:tcp_retransmit_skb */
struct tcc_retransmit {
	struct tcc_event event;
	struct tcc_sender sender;
	__u32 seq;
	__u32 end_seq;
	__u32 segs;
	__s32 err; /* of the transmission; 0 also where the kernel does not say (before 6.17) */
	__u8 class; /* enum tcc_retransmit_class */
	__u8 tcp_flags;
	__u8 unused[6];
};

/* tcp:tcp_retransmit_synack; the head's cookie is the listener's */
struct tcc_synack_retransmit {
	struct tcc_event event;
	__u32 attempt;
	__u32 unused;
};

/* tcp:tcp_send_reset; without a socket the head is made from the packet that is answered */
struct tcc_reset_sent {
	struct tcc_event event;
	__u32 reason; /* enum sk_rst_reason of this kernel */
	__u8 state;
	__u8 has_reason;
	__u8 unused[2];
};

/* tcp:tcp_receive_reset */
struct tcc_reset_received {
	struct tcc_event event;
};

/* tcp:tcp_cong_state_set, or what was seen of the socket without it */
struct tcc_cong_state {
	struct tcc_event event;
	struct tcc_sender sender;
	__u64 old_ca_state_ns; /* time in the old state; 0: not known */
	__u32 prior_cwnd;
	__u32 prior_ssthresh;
	__u8 old_ca_state;
	__u8 new_ca_state;
	__u8 inferred;
	__u8 unused[5];
};

/* sock:inet_sk_error_report */
struct tcc_error {
	struct tcc_event event;
	__u32 err; /* errno */
	__u32 unused;
};

/* tcp:tcp_sendmsg_locked, where nothing is unsent */
struct tcc_send {
	struct tcc_event event;
	struct tcc_sender sender;
	__u64 msg_left;
	__u32 size_goal;
	__u32 unused;
};

/*
 * Counters of one event type, on one CPU. `seen` is counted on entry and every other field on the way out, independently,
 * so that the sum of each action is a check and not a definition.
 */
struct tcc_counters {
	__u64 seen;
	/* No action took it. */
	__u64 filtered;
	__u64 undecided; /* a filter needs the owner, which is not known */
	__u64 unread; /* the socket or the packet cannot be read */
	/* TCC_COUNT */
	__u64 counted;
	/* TCC_AGGREGATE */
	__u64 aggregated;
	__u64 overflow; /* of a key that found no row: in the one for all of those */
	/* TCC_RECORD */
	__u64 gated; /* of a connection that is not in the gate */
	__u64 sampled_out;
	__u64 rate_limited;
	__u64 unmatched; /* --where rejects it */
	__u64 lost; /* the buffer is full */
	__u64 submitted;
	/* Counted as unmatched when they were kept for --trigger, and then: */
	__u64 kept_submitted;
	__u64 kept_lost;
};

TCC_NO_PADDING(struct tcc_head, len);
TCC_NO_PADDING(struct tcc_owner, comm);
TCC_NO_PADDING(struct tcc_tcp, unused);
TCC_NO_PADDING(struct tcc_sender, wmem_queued);
TCC_NO_PADDING(struct tcc_state, unused);
TCC_NO_PADDING(struct tcc_retransmit, unused);
TCC_NO_PADDING(struct tcc_synack_retransmit, unused);
TCC_NO_PADDING(struct tcc_reset_sent, unused);
TCC_NO_PADDING(struct tcc_cong_state, unused);
TCC_NO_PADDING(struct tcc_error, unused);
TCC_NO_PADDING(struct tcc_send, unused);
_Static_assert(sizeof(struct tcc_head) == 56, "tcc_head has a hole");

#endif
