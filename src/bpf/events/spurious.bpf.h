/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Spurious retransmissions: the kernel finds that retransmissions were unnecessary.
 *
 * dsack  the peer reports that it already had the data: tp->dsack_dups has grown (tcp_dsack_seen())
 * undo   the kernel takes back what it did to the window for a loss (tcp_undo_cwnd_reduction()): tp->undo_marker, set
 *        where Recovery or Loss begins, is 0
 *
 * No tracepoint reports either, so the connection is compared with its previous state: at each packet, at each
 * retransmission, at its end, and (5.19) at each change of its recovery state, which most undos bring about. The marker
 * is cleared without an undo in two cases, which the state shows: into CWR (tcp_enter_cwr()), and into Loss from another state
 * (tcp_simple_retransmit()).
 */
#ifndef __TCC_SPURIOUS_BPF_H__
#define __TCC_SPURIOUS_BPF_H__

#include "kernel.h"
#include "event.h"
#include "inferred.h"
#include "maps.bpf.h"
#include "compat.bpf.h"
#include "entries.bpf.h"
#include "packet.bpf.h"
#include "observe.bpf.h"
#include "events/socket.bpf.h"
#include "events/retransmit.bpf.h"
#include "dsack.bpf.h"

struct spurious_ctx {
	void *ctx;
	struct sock *sk;
	__u64 now;
	struct spurious_state is; /* as it is now */
	struct spurious_state *was;
	__u32 sent; /* segments that have just been sent again */
	bool certain; /* a marker that is there has just been set */
};

static __always_inline void load_spurious_state(struct spurious_state *out, struct sock *sk, struct tcp_sock *tp,
					 const bool typed)
{
	__builtin_memset(out, 0, sizeof(*out));
	out->undo_marker = FOLLOW(typed, tp, undo_marker);
	out->undo_retrans = FOLLOW(typed, tp, undo_retrans);
	out->dsack_dups = FOLLOW(typed, tp, dsack_dups);
	out->total_retrans = FOLLOW(typed, tp, total_retrans);
	out->high_seq = FOLLOW(typed, tp, high_seq);
	out->snd_cwnd = FOLLOW(typed, tp, snd_cwnd);
	out->snd_ssthresh = FOLLOW(typed, tp, snd_ssthresh);
	out->ca_state = BPF_CORE_READ_BITFIELD_PROBED((struct inet_connection_sock *)tp, icsk_ca_state);
	out->state = FOLLOW(typed, sk, __sk_common.skc_state);
}

static __noinline int spurious_emit(struct spurious_ctx *c, __u32 evidence, __u32 undo, const bool typed)
{
	const struct spurious_state *was = c->was, *is = &c->is;
	struct tcc_spurious *rec;
	struct event e;

	if (!event_filter(&e, c->sk, NULL, TCC_EVENT_SPURIOUS, typed))
		return 0;
	if (AGGREGATES(SPURIOUS))
		observe_count(&e, TCC_OBSERVE_SPURIOUS + (undo <= TCC_UNDO_SYN ? undo : TCC_UNDO_NONE), 1);
	rec = event_record(&e, 0, TCC_EVENT_SPURIOUS, sizeof(*rec));
	if (!rec) {
		copies_release();
		return 0;
	}
	rec->packet_ns = was->packet_ns && c->now > was->packet_ns ? c->now - was->packet_ns : TCC_UNKNOWN_NS;
	rec->retrans_ns = undo && was->retrans_ns ? c->now - was->retrans_ns : TCC_UNKNOWN_NS;
	/* From what was the first unacknowledged byte to what was the last one sent as the loss was taken for one. */
	rec->seq = undo ? was->undo_marker : was->dsack_seq;
	rec->end_seq = undo ? was->high_seq : was->dsack_end_seq;
	rec->has_seq = after(rec->end_seq, rec->seq);
	rec->segs = undo ? is->total_retrans - was->base_retrans : is->dsack_dups - was->dsack_dups;
	rec->dsack_dups = is->dsack_dups;
	rec->old_snd_cwnd = was->snd_cwnd;
	rec->old_snd_ssthresh = was->snd_ssthresh;
	rec->prior_cwnd = e.tp->prior_cwnd;
	rec->prior_ssthresh = e.tp->prior_ssthresh;
	rec->evidence = evidence;
	rec->undo = undo;
	rec->old_ca_state = was->ca_state;
	rec->new_ca_state = is->ca_state;
	rec->has_segs = !undo || was->has_base;
	__builtin_memset(rec->unused, 0, sizeof(rec->unused));
	return event_end(c->ctx, &e, rec, sizeof(*rec), TCC_EVENT_SPURIOUS);
}

/* Which one: by the state that it was found in, and as the kernel's counters name them. */
static __always_inline __u8 spurious_undo(const struct spurious_ctx *c)
{
	const struct spurious_state *was = c->was, *is = &c->is;
	struct tcp_sock *tp = (void *)c->sk;

	if (!was->undo_marker)
		return TCC_UNDO_NONE;
	/* One packet may report the last unnecessary one and the next loss: the marker is set anew. */
	if (c->certain && was->ca_state < TCP_CA_CWR && (__s32)was->undo_retrans > 0 &&
	    (__s32)(is->dsack_dups - was->dsack_dups) >= (__s32)was->undo_retrans)
		return TCC_UNDO_DSACK;
	if (is->undo_marker || is->ca_state == TCP_CA_CWR)
		return TCC_UNDO_NONE;
	/* tcp_disconnect() clears all. */
	if (is->total_retrans < was->total_retrans)
		return TCC_UNDO_NONE;
	if (is->ca_state == TCP_CA_LOSS && was->ca_state != TCP_CA_LOSS)
		return TCC_UNDO_NONE;
	/* tcp_try_undo_spurious_syn() */
	if (was->state == TCP_SYN_SENT)
		return TCC_UNDO_SYN;
	if (was->ca_state == TCP_CA_LOSS)
		return TCC_UNDO_LOSS;
	if (was->ca_state != TCP_CA_RECOVERY)
		return TCC_UNDO_DSACK;
	if (!after(was->high_seq, BPF_CORE_READ(tp, snd_una)))
		return TCC_UNDO_FULL;
	/* Only DSACKs bring it to 0. */
	return BPF_CORE_READ(tp, undo_retrans) ? TCC_UNDO_PARTIAL : TCC_UNDO_DSACK;
}

/* Else it was never in any state but Open, and sent nothing twice, which most connections are: they cost no entry. */
static __always_inline bool spurious_concerns(struct tcp_sock *tp, const bool typed)
{
	return FOLLOW(typed, tp, prior_cwnd) || FOLLOW(typed, tp, total_retrans);
}

/* Compares with the last look, and keeps this one. */
static __always_inline void spurious_compare(struct spurious_ctx *c, const bool typed)
{
	const struct spurious_state *is = &c->is;
	struct spurious_state *was;
	__u64 key = (__u64)c->sk;
	__u8 undo;

	was = bpf_map_lookup_elem(&spurious_states, &key);
	c->was = was;
	if (!was) {
		c->is.base_retrans = is->total_retrans - c->sent;
		c->is.has_base = c->certain || !is->base_retrans;
		entry_insert(spurious_states, &key, is);
		c->was = bpf_map_lookup_elem(&spurious_states, &key);
		return;
	}
	if ((__s32)(is->dsack_dups - was->dsack_dups) > 0 && is->total_retrans >= was->total_retrans)
		spurious_emit(c, TCC_EVIDENCE_DSACK, TCC_UNDO_NONE, typed);
	undo = unknown(spurious_undo(c));
	if (undo)
		spurious_emit(c, TCC_EVIDENCE_UNDO, undo, typed);
	if (undo || is->undo_marker != was->undo_marker) {
		was->undo_marker = is->undo_marker;
		was->retrans_ns = 0;
		/* Each retransmission is compared, so this is the first one after the marker was set, or there was none yet. */
		was->base_retrans = is->total_retrans - c->sent;
		was->has_base = 1;
	}
	/* The counters have what the packet reported from the next comparison on. */
	was->dsack_seq = 0;
	was->dsack_end_seq = 0;
	was->undo_retrans = is->undo_retrans;
	was->dsack_dups = is->dsack_dups;
	was->total_retrans = is->total_retrans;
	was->high_seq = is->high_seq;
	was->snd_cwnd = is->snd_cwnd;
	was->snd_ssthresh = is->snd_ssthresh;
	was->ca_state = is->ca_state;
	was->state = is->state;
}

static __noinline int spurious_packet(void *ctx, struct sock *sk, struct sk_buff *skb, const bool typed)
{
	struct tcp_sock *tp = typed ? bpf_skc_to_tcp_sock(sk) : (void *)sk;
	struct spurious_ctx c = { .ctx = ctx, .sk = sk };
	struct dsack dsack;

	if (!tp)
		return 0;
	c.now = bpf_ktime_get_ns();
	load_spurious_state(&c.is, sk, tp, typed);
	spurious_compare(&c, typed);
	if (!c.was)
		return 0;
	c.was->packet_ns = c.now;
	load_dsack(&dsack, FOLLOW(typed, skb, data));
	c.was->dsack_seq = dsack.seq;
	c.was->dsack_end_seq = dsack.end_seq;
	return 0;
}

static __always_inline void on_spurious(void *ctx, struct sock *sk, struct sk_buff *skb, const bool typed)
{
	struct tcp_sock *tp = typed ? bpf_skc_to_tcp_sock(sk) : (void *)sk;

	if (tp && spurious_concerns(tp, typed))
		spurious_packet(ctx, sk, skb, typed);
}

/* Of a change the socket holds the old state yet, and all else that brought it about. */
static __noinline int on_spurious_state(void *ctx, struct sock *sk, __u8 ca_state, const bool typed)
{
	struct spurious_ctx c = { .ctx = ctx, .sk = sk };
	__u8 old;

	if (!spurious_concerns((void *)sk, false))
		return 0;
	c.now = bpf_ktime_get_ns();
	load_spurious_state(&c.is, sk, (void *)sk, false);
	old = c.is.ca_state;
	c.is.ca_state = ca_state;
	/* tcp_enter_recovery(), tcp_enter_loss() */
	c.certain = unknown(ca_state == TCP_CA_RECOVERY || (ca_state == TCP_CA_LOSS && old < TCP_CA_CWR));
	spurious_compare(&c, typed);
	return 0;
}

static __noinline int on_spurious_retransmit(void *ctx, struct sock *sk, struct sk_buff *skb, int err,
						 const bool typed)
{
	struct spurious_ctx c = { .ctx = ctx, .sk = sk };
	struct tcp_skb_cb *cb = (void *)skb->cb;

	if (!retransmit_begun(err))
		return 0;
	c.now = bpf_ktime_get_ns();
	c.sent = BPF_CORE_READ(cb, tcp_gso_segs);
	load_spurious_state(&c.is, sk, (void *)sk, false);
	spurious_compare(&c, typed);
	if (c.was && c.was->undo_marker && c.was->has_base && !c.was->retrans_ns)
		c.was->retrans_ns = c.now;
	return 0;
}

static __noinline int on_spurious_destroy(void *ctx, struct sock *sk, const bool typed)
{
	struct spurious_ctx c = { .ctx = ctx, .sk = sk };
	__u64 key = (__u64)sk;

	if (!bpf_map_lookup_elem(&spurious_states, &key))
		return 0;
	c.now = bpf_ktime_get_ns();
	load_spurious_state(&c.is, sk, (void *)sk, false);
	spurious_compare(&c, typed);
	entry_delete(spurious_states, &key);
	return 0;
}

#endif
