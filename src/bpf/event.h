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
	TCC_EVENT_MAX,
};

/* A time that is not known. */
#define TCC_UNKNOWN_NS (~0ULL)

#define TCC_NO_PADDING(type, last) \
	_Static_assert(sizeof(type) == __builtin_offsetof(type, last) + sizeof(((type *)0)->last), #type " is padded")

#define TCC_COMM_LEN 16
#define TCC_CA_NAME_LEN 16
/* icsk_ca_priv: 13 u64 since 5.1 */
#define TCC_CA_PRIV_LEN 104

enum tcc_head_flag {
	TCC_HEAD_FULL = 1, /* the record goes beyond the standard fields */
	TCC_HEAD_WIPED = 2, /* tcp_disconnect() has erased the peer's port: the ends are unknown */
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
	__u8 full; /* enum tcc_head_flag */
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

/* What the classic tcp_probe record has. */
struct tcc_probe_std {
	__u32 mark;
	__u32 data_len;
	__u32 snd_nxt;
	__u32 snd_una;
	__u32 snd_cwnd;
	__u32 ssthresh;
	__u32 snd_wnd;
	__u32 srtt_us;
	__u32 rcv_wnd;
	__u32 unused;
};

/* The state of a struct tcp_sock, in the units of `tcc-trace schema`: scaled values are already unscaled. */
struct tcc_sock {
	__u64 bytes_sent;
	__u64 bytes_acked;
	__u64 bytes_received;
	__u64 bytes_retrans;
	__u64 pacing_rate;
	__u64 max_pacing_rate;
	__u64 last_data_sent_us;
	__u64 last_data_recv_us;
	__u64 last_ack_recv_us;

	__u32 snd_ssthresh;
	__u32 rttvar_us;
	__u32 mdev_us;
	__u32 min_rtt_us;
	__u32 rto_us;
	__u32 ato_us;
	__u32 mss;
	__u32 advmss;
	__u32 rcv_mss;
	__u32 pmtu;
	__u32 packets_out;
	__u32 retrans_out;
	__u32 sacked_out;
	__u32 lost_out;
	__u32 total_retrans;
	__u32 lost;
	__u32 delivered;
	__u32 delivered_ce;
	__u32 rate_delivered;
	__u32 rate_interval_us;
	__u32 reordering;
	__u32 reord_seen;
	__u32 dsack_dups;
	__u32 segs_in;
	__u32 segs_out;
	__u32 data_segs_in;
	__u32 data_segs_out;
	__u32 write_seq;
	__u32 rcv_nxt;
	__u32 rcv_ssthresh;
	__u32 window_clamp;
	__u32 rcv_rtt_us;
	__u32 rcv_space;
	__u32 rcv_ooopack;
	__u32 timer_us;
	__u32 prior_cwnd;
	__u32 prior_ssthresh;
	__u32 snd_cwnd_cnt;
	__u32 snd_cwnd_clamp;
	__u32 prr_delivered;
	__u32 prr_out;
	__u32 high_seq;
	__u32 undo_marker;
	__s32 undo_retrans;
	__u32 tlp_high_seq;
	__u32 sk_mark;
	__u32 sk_priority;
	__u32 drops;
	__s32 wmem_queued;
	__s32 wmem_alloc;
	__s32 sndbuf;
	__s32 rmem_alloc;
	__s32 rcvbuf;
	__s32 forward_alloc;
	__s32 omem_alloc;
	__s32 backlog_len;
	__u32 max_window;
	__u32 mptcp_token; /* 0: none */

	__u64 busy_us;
	__u64 rwnd_limited_us;
	__u64 sndbuf_limited_us;

	__u16 timeout_rehash;
	__u8 state;
	__u8 ca_state;
	__u8 retransmits;
	__u8 backoff;
	__u8 probes_out;
	__u8 pending;
	__u8 ecn_flags;
	__u8 rate_app_limited;
	__u8 is_cwnd_limited;
	__u8 tstamp_ok;
	__u8 sack_ok;
	__u8 snd_wscale; /* 255: not negotiated */
	__u8 rcv_wscale;
	__u8 tos;

	__u8 ca_name[TCC_CA_NAME_LEN];
	/* The algorithm's own state as raw bytes. The reader knows its layout from the kernel's or the module's BTF. */
	__u8 ca_priv[TCC_CA_PRIV_LEN];
};

struct tcc_probe {
	struct tcc_head head;
	struct tcc_probe_std std;
};

struct tcc_probe_full {
	struct tcc_head head;
	struct tcc_probe_std std;
	struct tcc_owner owner;
	struct tcc_sock sock;
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

/* How every such event begins. */
struct tcc_event {
	struct tcc_head head;
	struct tcc_owner owner;
	struct tcc_tcp tcp;
};

/* sock:inet_sock_set_state */
struct tcc_state {
	struct tcc_event event;
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

/*
 * Counters of one event type, on one CPU. `seen` is counted on entry and every other field on the way out, independently,
 * so that their sum is a check and not a definition.
 */
struct tcc_counters {
	__u64 seen;
	__u64 filtered;
	__u64 sampled_out;
	__u64 rate_limited;
	__u64 lost;
	__u64 submitted;
	__u64 aggregated; /* counted in a summary, in place of a record */
	__u64 undecided; /* a filter needs the owner, which is not known */
};

TCC_NO_PADDING(struct tcc_head, len);
TCC_NO_PADDING(struct tcc_owner, comm);
TCC_NO_PADDING(struct tcc_probe_std, unused);
TCC_NO_PADDING(struct tcc_sock, ca_priv);
TCC_NO_PADDING(struct tcc_probe_full, sock);
TCC_NO_PADDING(struct tcc_tcp, unused);
TCC_NO_PADDING(struct tcc_state, unused);
TCC_NO_PADDING(struct tcc_retransmit, unused);
TCC_NO_PADDING(struct tcc_synack_retransmit, unused);
TCC_NO_PADDING(struct tcc_reset_sent, unused);
TCC_NO_PADDING(struct tcc_cong_state, unused);
TCC_NO_PADDING(struct tcc_error, unused);
_Static_assert(sizeof(struct tcc_head) == 56, "tcc_head has a hole");
_Static_assert(__builtin_offsetof(struct tcc_sock, busy_us) == __builtin_offsetof(struct tcc_sock, mptcp_token) + 4, "tcc_sock has a hole");

#endif
