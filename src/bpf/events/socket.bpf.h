/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What all events of a socket but tcp_probe have in common: they are rare, so each copies the socket once and reads the
 * copy, in both flavours (`typed` only makes the cookie, which other events of the connection can then be joined by).
 */
#ifndef __TCC_SOCKET_BPF_H__
#define __TCC_SOCKET_BPF_H__

#include "kernel.h"
#include "event.h"
#include "config.h"
#include "maps.bpf.h"
#include "closed_maps.bpf.h"
#include "emit.bpf.h"
#include "mptcp.bpf.h"
#include "sock.bpf.h"
#include "conn.bpf.h"
#include "filter.bpf.h"
#include "gate.bpf.h"
#include "limit.bpf.h"
#include "packet.bpf.h"

struct event {
	struct tcc_counters *n;
	struct copies *copy;
	struct sock *sk; /* the copy, as are the two below */
	struct tcp_sock *tp;
	struct inet_connection_sock *icsk;
	struct conn *conn;
	const struct closed_conn *closed; /* what it had when it changed to CLOSE */
	bool records; /* a record is to be made of it */
	struct tcc_head *head;
};

static __always_inline void load_tcp_brief(struct tcc_tcp *out, struct tcp_sock *tp)
{
	struct inet_connection_sock *icsk = (void *)tp;

	out->bytes_acked = tp->bytes_acked;
	out->bytes_received = tp->bytes_received;
	out->snd_cwnd = tp->snd_cwnd;
	out->snd_ssthresh = tp->snd_ssthresh;
	out->snd_una = tp->snd_una;
	out->snd_nxt = tp->snd_nxt;
	out->write_seq = tp->write_seq;
	out->snd_wnd = tp->snd_wnd;
	out->rcv_wnd = tp->rcv_wnd;
	out->srtt_us = tp->srtt_us >> 3;
	out->packets_out = tp->packets_out;
	out->sacked_out = tp->sacked_out;
	out->lost_out = tp->lost_out;
	out->retrans_out = tp->retrans_out;
	out->total_retrans = tp->total_retrans;
	out->state = ((struct sock *)tp)->__sk_common.skc_state;
	out->ca_state = load_ca_state(tp);
	out->retransmits = icsk->icsk_retransmits;
	out->present = TCC_SOCK_PRESENT;
	out->mptcp_token = mptcp_token(tp);
	out->unused = 0;
}

static __always_inline void load_sender(struct tcc_sender *out, const struct event *e)
{
	out->pacing_rate = e->sk->sk_pacing_rate;
	out->mss = e->tp->mss_cache;
	out->wmem_queued = e->sk->sk_wmem_queued;
}

/* It is connecting, and has no port yet. What is in inet_sport may be an earlier connection's: tcp_disconnect() leaves it. */
static __always_inline bool is_without_port(struct sock *sk, struct tcp_sock *tp, __u8 event_type)
{
	if (sk->__sk_common.skc_state == TCP_CLOSE)
		return event_type == TCC_EVENT_STATE;
	return sk->__sk_common.skc_state == TCP_SYN_SENT && !tp->segs_out && !BPF_CORE_READ_BITFIELD(tp, fastopen_connect);
}

/* A socket gives its port back before it enters CLOSE; where it was from is still written here. */
static __always_inline void keep_port(struct tcc_head *head, struct tcp_sock *tp, __u8 event_type)
{
	if (!head->sport && !is_without_port((struct sock *)tp, tp, event_type))
		head->sport = bpf_ntohs(((struct inet_sock *)tp)->inet_sport);
}

/*
 * What an event shows of a connection that is closed: what it had then, since tcp_disconnect() may have erased it. `state`
 * reports a change out of CLOSE, which is of the connection to come.
 */
static __always_inline const struct closed_conn *closed_of(struct sock *real, __u8 event_type, __u8 state)
{
	__u64 key = (__u64)real;

	if (!(cfg.trackers & TCC_TRACK_CLOSED) || state != TCP_CLOSE || event_type == TCC_EVENT_STATE)
		return NULL;
	return bpf_map_lookup_elem(&closed_conns, &key);
}

/* tcp_disconnect() erases the peer's port and moves write_seq on; a socket that was never connected has neither. */
static __always_inline bool is_wiped(struct sock *sk, struct tcp_sock *tp, __u8 event_type)
{
	return event_type != TCC_EVENT_STATE && sk->__sk_common.skc_state == TCP_CLOSE && !sk->__sk_common.skc_dport && tp->write_seq;
}

static __always_inline void load_closed_ends(struct tcc_head *head, const struct closed_conn *closed)
{
	__builtin_memcpy(head->saddr, closed->saddr, sizeof(head->saddr));
	__builtin_memcpy(head->daddr, closed->daddr, sizeof(head->daddr));
	head->sport = closed->sport;
	head->dport = closed->dport;
}

static __always_inline void load_closed_tcp(struct tcc_tcp *out, const struct closed_conn *closed)
{
	*out = closed->tcp;
	out->state = TCP_CLOSE;
}

/* Only an orphan sends one that late, and before that each orphan had an entry: its process has sent the FIN. */
static __always_inline struct conn *conn_gone_of(__u64 key, struct sock *sk)
{
	struct gone_conn *gone;
	__u32 zero = 0;

	if (!cfg.keep_gone || !(sk->__sk_common.skc_flags & SOCK_DEAD))
		return NULL;
	gone = bpf_map_lookup_elem(&gone_conns, &zero);
	return gone && gone->sk == key ? &gone->conn : NULL;
}

/* A RST may be sent, and a packet be dropped or leave, after tcp_destroy_sock: an entry made for it would never go. */
static __always_inline struct conn *event_conn(__u64 key, __u8 event_type, struct sock *sk)
{
	bool packet = event_type == TCC_EVENT_DROP || event_type == TCC_EVENT_QUEUE;
	bool closed = sk->__sk_common.skc_state == TCP_CLOSE;
	struct conn *conn;

	if (event_type == TCC_EVENT_RESET_SENT) {
		conn = bpf_map_lookup_elem(&conns, &key);
		return conn || !closed ? conn : conn_gone_of(key, sk);
	}
	if (packet && closed)
		return bpf_map_lookup_elem(&conns, &key);
	return conn_of(key);
}

/* Of an event that has passed the filters: counts it, and decides whether it is recorded. Apart, as the stack is scarce. */
static __noinline int event_wanted(struct event *e, const struct tcc_head *head, __u32 event_type)
{
	__u8 actions = cfg.actions[event_type];

	e->records = false;
	if (actions & TCC_COUNT)
		COUNT(e->n, counted);
	if (!(actions & TCC_RECORD))
		return 0;
	if (!pass_gate(&head->cookie))
		COUNT(e->n, gated);
	else if (!pass_rate(e->conn, head->mono_ns))
		COUNT(e->n, rate_limited);
	else
		e->records = true;
	return 0;
}

/*
 * What was found is looked up again, for the verifier's sake: it would follow each way to here, with an entry and without, through all
 * that is done with the event. Not for what a packet causes, of which there are many.
 */
static __always_inline bool event_is_rare(__u32 event_type)
{
	return event_type != TCC_EVENT_DROP && event_type != TCC_EVENT_QUEUE;
}

static __always_inline const struct closed_conn *closed_again(const struct closed_conn *closed, struct sock *real, __u32 event_type)
{
	__u64 key = closed ? (__u64)real : 0;

	return event_is_rare(event_type) && cfg.trackers & TCC_TRACK_CLOSED ? bpf_map_lookup_elem(&closed_conns, &key) : closed;
}

/* One that is gone is not found again. */
static __always_inline struct conn *conn_again(struct conn *conn, __u64 key, __u32 event_type)
{
	if (!event_is_rare(event_type) || event_type == TCC_EVENT_RESET_SENT || !cfg.track_conn)
		return conn;
	return bpf_map_lookup_elem(&conns, &key);
}

/*
 * Does the event pass the filters? Then the caller aggregates or records it, and gives the copy back; else it is counted here.
 * `real` must be a full socket. Where the event is about a packet, that one's ends stand in for those of a socket without a peer
 * (a listener). One copy in each program, as of the functions below, since the kernel's effort to load a program grows with the
 * square of its size.
 */
static __noinline bool event_passes(struct event *e, struct sock *real, const struct packet *by, __u32 event_type,
				    const bool typed)
{
	__u32 mark = by ? by->mark : 0, ifindex = by ? by->ifindex : 0;
	struct tcc_head *head;

	e->n = counters_of(event_type);
	if (!e->n)
		return false;
	COUNT(e->n, seen);
	e->copy = copies_claim();
	if (!e->copy) {
		COUNT(e->n, unread);
		return false;
	}
	if (!copy_sock(e->copy, real)) {
		COUNT(e->n, unread);
		goto none;
	}
	e->sk = (void *)e->copy->sock;
	e->tp = (void *)e->copy->sock;
	e->icsk = (void *)e->copy->sock;
	head = e->head = &e->copy->head;
	load_head(head, e->sk, event_type, 0, false);
	keep_port(head, e->tp, event_type);
	e->closed = closed_of(real, event_type, e->sk->__sk_common.skc_state);
	if (e->closed)
		load_closed_ends(head, e->closed);
	else if (by && by->addressed && !head->dport)
		packet_ends(head, by);
	else if (is_wiped(e->sk, e->tp, event_type))
		head->flags |= TCC_HEAD_WIPED;
	e->closed = closed_again(e->closed, real, event_type);
	if (typed && !head->cookie && cfg.cookie_helper)
		head->cookie = bpf_get_socket_cookie(real);
	/* A packet of a listener that is bound to no interface is of the one that it came by, as the connection would be. */
	if (!filter_head(head, zone_of(e->sk) ?: ifindex) || !filter_sock(e->sk, e->tp, mark, ifindex, false)) {
		COUNT(e->n, filtered);
		goto none;
	}
	e->conn = cfg.track_conn ? event_conn(conn_key(real, head->cookie), event_type, e->sk) : NULL;
	if (cfg.track_owner && e->conn)
		request_owner_scan(e->conn, e->tp);
	if (!filter_owner(e->conn)) {
		owner_refused(e->n, e->conn);
		goto none;
	}
	e->conn = conn_again(e->conn, conn_key(real, head->cookie), event_type);
	return true;
none:
	copies_release();
	return false;
}

/* The same, and whether it is recorded. */
static __always_inline bool event_filter(struct event *e, struct sock *real, const struct packet *by, __u32 event_type,
					 const bool typed)
{
	if (!event_passes(e, real, by, event_type, typed))
		return false;
	event_wanted(e, e->head, event_type);
	return true;
}

/* It is aggregated; `own`: in the row of its key. */
static __always_inline int event_aggregated(struct event *e, bool own)
{
	if (own)
		COUNT(e->n, aggregated);
	else
		COUNT(e->n, overflow);
	return 0;
}

static __noinline int event_load(struct tcc_event *rec, const struct event *e, __u32 ifindex)
{
	rec->head = *e->head;
	load_owner(&rec->owner, e->sk, e->conn, ifindex, false);
	load_tcp_brief(&rec->tcp, e->tp);
	if (e->closed)
		load_closed_tcp(&rec->tcp, e->closed);
	else if (is_wiped(e->sk, e->tp, e->head->event_type))
		rec->tcp.present = TCC_SOCK_WIPED;
	return 0;
}

/* A record of `size` bytes that begins with a struct tcc_event, filled in; NULL if none is to be made, which is counted. */
static __always_inline void *event_record(struct event *e, __u32 ifindex, __u8 event_type, const __u16 size)
{
	struct tcc_event *rec;

	if (!e->records)
		return NULL;
	rec = emit_begin(size, event_type);
	if (!rec) {
		COUNT(e->n, lost);
		return NULL;
	}
	e->head->len = size;
	event_load(rec, e, ifindex);
	return rec;
}

/* The same for types that are not aggregated; of one that makes no record, all is done. */
static __always_inline void *event_begin_by(struct event *e, struct sock *real, const struct packet *by, __u8 event_type,
					    const __u16 size, const bool typed)
{
	struct tcc_event *rec;

	if (!event_filter(e, real, by, event_type, typed))
		return NULL;
	rec = event_record(e, by ? by->ifindex : 0, event_type, size);
	if (!rec)
		copies_release();
	return rec;
}

static __always_inline void *event_begin(struct event *e, struct sock *real, __u8 event_type, const __u16 size,
					 const bool typed)
{
	return event_begin_by(e, real, NULL, event_type, size, typed);
}

/* Counts an event that could not be read at all. */
static __always_inline void event_unread(__u8 event_type)
{
	struct tcc_counters *n = counters_of(event_type);

	if (n) {
		COUNT(n, seen);
		COUNT(n, unread);
	}
}

/* Counts an event that a filter of its own type rejects. */
static __always_inline void event_filtered(__u8 event_type)
{
	struct tcc_counters *n = counters_of(event_type);

	if (n) {
		COUNT(n, seen);
		COUNT(n, filtered);
	}
}

/*
 * Does an event pass the filters that has no full socket? What the packet says is all there is, so filters by anything else let
 * nothing in.
 */
static __noinline bool event_filter_bare(struct event *e, const struct tcc_head *head, const struct packet *by,
					 __u32 event_type)
{
	const __u32 by_head = TCC_FILTER_IPV4 | TCC_FILTER_IPV6 | TCC_FILTER_PORT | TCC_FILTER_LPORT | TCC_FILTER_RPORT |
			      TCC_FILTER_ADDR | TCC_FILTER_LADDR | TCC_FILTER_RADDR | TCC_FILTER_COOKIE | TCC_FILTER_FOLLOW |
			      TCC_FILTER_ZONE;
	const __u32 by_packet = by ? TCC_FILTER_NETNS | TCC_FILTER_MARK | TCC_FILTER_IFACE : 0;

	e->n = counters_of(event_type);
	if (!e->n)
		return false;
	COUNT(e->n, seen);
	if (ON(~(by_head | by_packet)) || !filter_head(head, by ? by->ifindex : 0) || (by && !filter_packet(by))) {
		COUNT(e->n, filtered);
		return false;
	}
	e->conn = NULL;
	event_wanted(e, head, event_type);
	return true;
}

/* Its record, if there is to be one. */
static __always_inline void *event_record_bare(struct event *e, const struct tcc_head *head, const struct packet *by, __u8 event_type,
					       const __u16 size)
{
	struct tcc_event *rec;

	if (!e->records)
		return NULL;
	rec = emit_begin(size, event_type);
	if (!rec) {
		COUNT(e->n, lost);
		return NULL;
	}
	rec->head = *head;
	__builtin_memset(&rec->owner, 0, sizeof(rec->owner));
	__builtin_memset(&rec->tcp, 0, sizeof(rec->tcp));
	if (by) {
		rec->owner.netns = by->netns;
		rec->owner.ifindex = by->ifindex;
	}
	return rec;
}

/* `event_type` is a constant to the verifier, which what is in the record is not. */
static __noinline int event_end(void *ctx, struct event *e, void *rec, __u32 size, __u32 event_type)
{
	emit_end(ctx, e->n, rec, size, event_type);
	copies_release();
	return 0;
}

#endif
