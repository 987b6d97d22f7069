/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The record of tcp:tcp_probe: the standard fields, and behind them the field groups. A group is what is loaded together, because
 * it is requested together or costs together. A record has only the groups that are requested, one behind the other in this
 * order; the layout with all of them is the one that the Rust side reads.
 *
 * Rules as in event.h; moreover, the size of a group is a multiple of eight bytes. Units are those of `tcc-trace schema`:
 * scaled values are already unscaled.
 */
#ifndef __TCC_PROBE_H__
#define __TCC_PROBE_H__

#include "event.h"

/* icsk_ca_priv: 13 u64 since 5.1 */
#define TCC_CA_PRIV_LEN 104

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

/* State of congestion control. */
struct tcc_probe_cong {
	__u32 snd_ssthresh;
	__u8 ca_state;
	__u8 is_cwnd_limited;
	__u8 state;
	__u8 unused;
};

/* Segments in flight. */
struct tcc_probe_flight {
	__u32 packets_out;
	__u32 retrans_out;
	__u32 sacked_out;
	__u32 lost_out;
};

struct tcc_probe_rtt {
	__u32 rttvar_us;
	__u32 mdev_us;
	__u32 min_rtt_us;
	__u32 rto_us;
};

struct tcc_probe_timer {
	__u32 timer_us;
	__u32 ato_us;
	__u8 pending;
	__u8 retransmits;
	__u8 backoff;
	__u8 probes_out;
	__u32 unused;
};

struct tcc_probe_mss {
	__u32 mss;
	__u32 advmss;
	__u32 rcv_mss;
	__u32 pmtu;
};

/* Delivery and pacing. */
struct tcc_probe_rate {
	__u64 pacing_rate;
	__u64 max_pacing_rate;
	__u32 delivered;
	__u32 delivered_ce;
	__u32 rate_delivered;
	__u32 rate_interval_us;
	__u8 rate_app_limited;
	__u8 unused[7];
};

/* Loss and reordering in the connection's lifetime. */
struct tcc_probe_loss {
	__u64 bytes_retrans;
	__u32 total_retrans;
	__u32 lost;
	__u32 reordering;
	__u32 reord_seen;
	__u32 dsack_dups;
	__u16 timeout_rehash;
	__u16 unused;
};

/* The window's growth and its reductions. */
struct tcc_probe_recovery {
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
};

/* Data sent and received. */
struct tcc_probe_data {
	__u64 bytes_sent;
	__u64 bytes_acked;
	__u64 bytes_received;
	__u32 segs_in;
	__u32 segs_out;
	__u32 data_segs_in;
	__u32 data_segs_out;
	__u32 write_seq;
	__u32 rcv_nxt;
};

/* Flow control. */
struct tcc_probe_window {
	__u32 rcv_ssthresh;
	__u32 window_clamp;
	__u32 rcv_rtt_us;
	__u32 rcv_space;
	__u32 rcv_ooopack;
	__u32 max_window;
};

/* Time since. */
struct tcc_probe_last {
	__u64 last_data_sent_us;
	__u64 last_data_recv_us;
	__u64 last_ack_recv_us;
};

struct tcc_probe_chrono {
	__u64 busy_us;
	__u64 rwnd_limited_us;
	__u64 sndbuf_limited_us;
};

/* The chronograph that runs now; what it adds is part of the times above. */
struct tcc_probe_chrono_now {
	__u64 elapsed_us;
	__u8 chrono_type; /* 0: none runs */
	__u8 unused[7];
};

/* What holds segments back on their way to the device. */
struct tcc_probe_pacing {
	__u64 tcp_wstamp_ns;
	__u32 tsq_flags;
	__u8 status;
	__u8 unused[3];
};

struct tcc_probe_rack {
	__u32 rtt_us;
	__u32 unused;
};

struct tcc_probe_nospace {
	__u8 sock_nospace; /* 255: there is no struct socket */
	__u8 unused[7];
};

struct tcc_probe_memory {
	__s32 wmem_queued;
	__s32 wmem_alloc;
	__s32 sndbuf;
	__s32 rmem_alloc;
	__s32 rcvbuf;
	__s32 forward_alloc;
	__s32 omem_alloc;
	__s32 backlog_len;
	__u32 drops;
	__u32 unused;
};

/* What was negotiated, and set by the application. */
struct tcc_probe_options {
	__u32 sk_mark;
	__u32 sk_priority;
	__u32 mptcp_token; /* 0: none */
	__u8 ecn_flags;
	__u8 tstamp_ok;
	__u8 sack_ok;
	__u8 snd_wscale; /* 255: not negotiated */
	__u8 rcv_wscale;
	__u8 tos;
	__u8 unused[6];
};

struct tcc_probe_ca {
	__u8 name[TCC_CA_NAME_LEN];
};

/* The algorithm's own state as raw bytes. The reader knows its layout from the kernel's or the module's BTF. */
struct tcc_probe_ca_priv {
	__u8 bytes[TCC_CA_PRIV_LEN];
};

/* Named and ordered as the members below. */
enum tcc_field_group {
	TCC_FIELDS_owner,
	TCC_FIELDS_cong,
	TCC_FIELDS_flight,
	TCC_FIELDS_rtt,
	TCC_FIELDS_timer,
	TCC_FIELDS_mss,
	TCC_FIELDS_rate,
	TCC_FIELDS_loss,
	TCC_FIELDS_recovery,
	TCC_FIELDS_data,
	TCC_FIELDS_window,
	TCC_FIELDS_last,
	TCC_FIELDS_chrono,
	TCC_FIELDS_chrono_now,
	TCC_FIELDS_pacing,
	TCC_FIELDS_rack,
	TCC_FIELDS_nospace,
	TCC_FIELDS_memory,
	TCC_FIELDS_options,
	TCC_FIELDS_ca,
	TCC_FIELDS_ca_priv,
	TCC_FIELD_GROUPS,
};

struct tcc_probe {
	struct tcc_head head;
	struct tcc_probe_std std;
};

struct tcc_probe_full {
	struct tcc_head head;
	struct tcc_probe_std std;
	struct tcc_owner owner;
	struct tcc_probe_cong cong;
	struct tcc_probe_flight flight;
	struct tcc_probe_rtt rtt;
	struct tcc_probe_timer timer;
	struct tcc_probe_mss mss;
	struct tcc_probe_rate rate;
	struct tcc_probe_loss loss;
	struct tcc_probe_recovery recovery;
	struct tcc_probe_data data;
	struct tcc_probe_window window;
	struct tcc_probe_last last;
	struct tcc_probe_chrono chrono;
	struct tcc_probe_chrono_now chrono_now;
	struct tcc_probe_pacing pacing;
	struct tcc_probe_rack rack;
	struct tcc_probe_nospace nospace;
	struct tcc_probe_memory memory;
	struct tcc_probe_options options;
	struct tcc_probe_ca ca;
	struct tcc_probe_ca_priv ca_priv;
};

TCC_NO_PADDING(struct tcc_probe_std, unused);
TCC_NO_PADDING(struct tcc_probe_cong, unused);
TCC_NO_PADDING(struct tcc_probe_timer, unused);
TCC_NO_PADDING(struct tcc_probe_rate, unused);
TCC_NO_PADDING(struct tcc_probe_loss, unused);
TCC_NO_PADDING(struct tcc_probe_recovery, tlp_high_seq);
TCC_NO_PADDING(struct tcc_probe_data, rcv_nxt);
TCC_NO_PADDING(struct tcc_probe_window, max_window);
TCC_NO_PADDING(struct tcc_probe_chrono_now, unused);
TCC_NO_PADDING(struct tcc_probe_pacing, unused);
TCC_NO_PADDING(struct tcc_probe_memory, unused);
TCC_NO_PADDING(struct tcc_probe_options, unused);
TCC_NO_PADDING(struct tcc_probe_full, ca_priv);

#endif
