/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Verdicts: what the kernel finds out about retransmissions that were not needed.
 *
 * dsack  the peer says that it had got the data already: tp->dsack_dups has grown (tcp_dsack_seen())
 * undo   the kernel takes back what it did to the window for a loss (tcp_undo_cwnd_reduction()): tp->undo_marker, set
 *        where Recovery or Loss begins, is 0
 *
 * No tracepoint tells of either, so the connection is compared with what it was at the last look: for each packet, at each
 * retransmission, at its end, and (5.19) at each change of its recovery state, which most undos bring about. The marker
 * goes without an undo in two ways, which the state tells: into CWR (tcp_enter_cwr()), and into Loss from another state
 * (tcp_simple_retransmit()).
 */
#ifndef __TCC_VERDICT_BPF_H__
#define __TCC_VERDICT_BPF_H__

struct verdict_look {
	void *ctx;
	struct sock *sk;
	__u64 now;
	struct verdict_state is; /* as it is now */
	struct verdict_state *was;
	__u32 sent; /* segments that have just been sent again */
	bool certain; /* a marker that is there has just been set */
};

static __always_inline void load_verdict(struct verdict_state *out, struct sock *sk, struct tcp_sock *tp,
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

static __always_inline void verdict_emit(struct verdict_look *look, __u8 verdict, __u8 undo, const bool typed)
{
	const struct verdict_state *was = look->was, *is = &look->is;
	struct tcc_verdict *rec;
	struct event e;

	rec = event_begin(&e, look->sk, TCC_KIND_VERDICT, sizeof(*rec), typed);
	if (!rec)
		return;
	rec->packet_ns = was->packet_ns && look->now > was->packet_ns ? look->now - was->packet_ns : TCC_UNKNOWN_NS;
	rec->retrans_ns = undo && was->retrans_ns ? look->now - was->retrans_ns : TCC_UNKNOWN_NS;
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
	rec->verdict = verdict;
	rec->undo = undo;
	rec->old_ca_state = was->ca_state;
	rec->new_ca_state = is->ca_state;
	rec->has_segs = !undo || was->has_base;
	__builtin_memset(rec->unused, 0, sizeof(rec->unused));
	event_end(look->ctx, &e, rec, sizeof(*rec));
}

/* Which one: by the state that it was found in, and as the kernel's counters name them. */
static __always_inline __u8 verdict_undo(const struct verdict_look *look)
{
	const struct verdict_state *was = look->was, *is = &look->is;
	struct tcp_sock *tp = (void *)look->sk;

	if (!was->undo_marker)
		return TCC_UNDO_NONE;
	/* One packet may tell of the last one that was not needed, and of the next loss: the marker is set anew. */
	if (look->certain && was->ca_state < TCP_CA_CWR && (__s32)was->undo_retrans > 0 &&
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
static __always_inline bool verdict_concerns(struct tcp_sock *tp, const bool typed)
{
	return FOLLOW(typed, tp, prior_cwnd) || FOLLOW(typed, tp, total_retrans);
}

/* Compares with the last look, and keeps this one. */
static __always_inline void verdict_compare(struct verdict_look *look, const bool typed)
{
	const struct verdict_state *is = &look->is;
	struct verdict_state *was;
	__u64 key = (__u64)look->sk;
	__u8 undo;

	was = bpf_map_lookup_elem(&verdict_states, &key);
	look->was = was;
	if (!was) {
		look->is.base_retrans = is->total_retrans - look->sent;
		look->is.has_base = look->certain || !is->base_retrans;
		remember(verdict_states, &key, is);
		look->was = bpf_map_lookup_elem(&verdict_states, &key);
		return;
	}
	if ((__s32)(is->dsack_dups - was->dsack_dups) > 0 && is->total_retrans >= was->total_retrans)
		verdict_emit(look, TCC_VERDICT_DSACK, TCC_UNDO_NONE, typed);
	undo = verdict_undo(look);
	if (undo)
		verdict_emit(look, TCC_VERDICT_UNDO, undo, typed);
	if (undo || is->undo_marker != was->undo_marker) {
		was->undo_marker = is->undo_marker;
		was->retrans_ns = 0;
		/* Each retransmission is a look, so this is the first one after it was set, or there was none yet. */
		was->base_retrans = is->total_retrans - look->sent;
		was->has_base = 1;
	}
	/* What it told is in the counters at the first look after the packet. */
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

static __always_inline int on_verdict(void *ctx, struct sock *sk, struct sk_buff *skb, const bool typed)
{
	struct tcp_sock *tp = typed ? bpf_skc_to_tcp_sock(sk) : (void *)sk;
	struct verdict_look look = { .ctx = ctx, .sk = sk };
	struct dsack dsack;

	if (!tp || !verdict_concerns(tp, typed))
		return 0;
	look.now = bpf_ktime_get_ns();
	load_verdict(&look.is, sk, tp, typed);
	verdict_compare(&look, typed);
	if (!look.was)
		return 0;
	look.was->packet_ns = look.now;
	load_dsack(&dsack, FOLLOW(typed, skb, data));
	look.was->dsack_seq = dsack.seq;
	look.was->dsack_end_seq = dsack.end_seq;
	return 0;
}

TRACEPOINT(tcp_probe, verdict, on_verdict, (struct sock *sk, struct sk_buff *skb), (ctx, sk, skb))

/* Of a change the socket holds the old state yet, and all else that brought it about. */
static __always_inline int on_verdict_state(void *ctx, struct sock *sk, __u8 ca_state, const bool typed)
{
	struct verdict_look look = { .ctx = ctx, .sk = sk };
	__u8 old;

	if (!verdict_concerns((void *)sk, false))
		return 0;
	look.now = bpf_ktime_get_ns();
	load_verdict(&look.is, sk, (void *)sk, false);
	old = look.is.ca_state;
	look.is.ca_state = ca_state;
	/* tcp_enter_recovery(), tcp_enter_loss() */
	look.certain = ca_state == TCP_CA_RECOVERY || (ca_state == TCP_CA_LOSS && old < TCP_CA_CWR);
	verdict_compare(&look, typed);
	return 0;
}

TRACEPOINT(tcp_cong_state_set, verdict_state, on_verdict_state, (struct sock *sk, __u8 ca_state), (ctx, sk, ca_state))

static __always_inline int on_verdict_retransmit(void *ctx, struct sock *sk, struct sk_buff *skb, int err,
						 const bool typed)
{
	struct verdict_look look = { .ctx = ctx, .sk = sk };
	struct tcp_skb_cb *cb = (void *)skb->cb;

	if (!retransmit_begun(err))
		return 0;
	look.now = bpf_ktime_get_ns();
	look.sent = BPF_CORE_READ(cb, tcp_gso_segs);
	load_verdict(&look.is, sk, (void *)sk, false);
	verdict_compare(&look, typed);
	if (look.was && look.was->undo_marker && look.was->has_base && !look.was->retrans_ns)
		look.was->retrans_ns = look.now;
	return 0;
}

SEC("tp_btf/tcp_retransmit_skb")
int verdict_retransmit_btf(unsigned long long *args)
{
	return on_verdict_retransmit(args, (void *)args[0], (void *)args[1], retransmit_err(args), true);
}

SEC("raw_tp/tcp_retransmit_skb")
int verdict_retransmit_raw(unsigned long long *args)
{
	return on_verdict_retransmit(args, (void *)args[0], (void *)args[1], retransmit_err(args), false);
}

static __always_inline int on_verdict_destroy(void *ctx, struct sock *sk, const bool typed)
{
	struct verdict_look look = { .ctx = ctx, .sk = sk };
	__u64 key = (__u64)sk;

	if (!bpf_map_lookup_elem(&verdict_states, &key))
		return 0;
	look.now = bpf_ktime_get_ns();
	load_verdict(&look.is, sk, (void *)sk, false);
	verdict_compare(&look, typed);
	forget(verdict_states, &key);
	return 0;
}

TRACEPOINT(tcp_destroy_sock, verdict_destroy, on_verdict_destroy, (struct sock *sk), (ctx, sk))

#endif
