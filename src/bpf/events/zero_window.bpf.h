/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Zero windows: from the moment at which the peer (tp->snd_wnd) or we (tp->rcv_wnd) close the window until it is open again.
 *
 * No tracepoint reports either, so the window is compared at four of them: tcp_probe for each packet, tcp_rcv_space_adjust where the
 * application takes data, inet_sock_set_state and tcp_destroy_sock for what never opens again.
 *
 * The peer's window comes in the packet itself: tcp_probe fires before it is processed, so what the kernel will make of it
 * is worked out here by the kernel's own rule. Where the rule is not plain (newer kernels also take a zero window that
 * comes with no new ACK and nothing new besides) tp->snd_wnd at the next hook shows what the kernel did. Our own window moves when an ACK is sent,
 * which fires nothing: the next hook sees it, and the time is that of the socket's clock, which is set where a socket receives or sends (tp->tcp_clock_cache).
 */
#ifndef __TCC_ZERO_WINDOW_BPF_H__
#define __TCC_ZERO_WINDOW_BPF_H__

#include "kernel.h"
#include "event.h"
#include "inferred.h"
#include "maps.bpf.h"
#include "compat.bpf.h"
#include "entries.bpf.h"
#include "packet.bpf.h"
#include "observe.bpf.h"
#include "events/socket.bpf.h"

/* A window has closed or opened: what an event reports of it. */
struct window_change {
	__u64 ago_ns; /* since it did */
	__u64 duration_ns; /* of the zero window */
	__u32 wnd;
	__u32 probes;
	__u32 what; /* of enum window_what; 0: none has */
};

enum window_what {
	WINDOW_CHANGED = 1,
	WINDOW_LOCAL = 2,
	WINDOW_END = 4,
	WINDOW_CLOSED = 8,
};

struct window_ctx {
	void *ctx;
	struct sock *sk;
	struct zero_window *zero; /* the connection's entry; NULL: no window of it is zero */
	__u64 key;
	__u64 now;
	struct window_change change; /* not reported yet */
};

/* Whether the kernel looks at the packet's acknowledgment and window: tcp_sequence() and tcp_ack(). */
static __always_inline bool takes_ack(struct tcp_sock *tp, struct sk_buff *skb, const struct tcp_header *th)
{
	__u32 seq = bpf_ntohl(th->seq), ack = bpf_ntohl(th->ack_seq), first = BPF_CORE_READ(tp, rcv_wup);
	struct tcp_skb_cb *cb = (void *)skb->cb;

	if ((th->flags & (TCPHDR_ACK | TCPHDR_SYN | TCPHDR_RST)) != TCPHDR_ACK)
		return false;
	if (after(BPF_CORE_READ(tp, snd_una), ack) || after(ack, BPF_CORE_READ(tp, snd_nxt)))
		return false;
	return !after(first, BPF_CORE_READ(cb, end_seq)) && !after(seq, first + BPF_CORE_READ(tp, rcv_wnd));
}

/* The window in bytes after that packet, if it takes its ACK: tcp_may_update_window(). */
static __always_inline __u32 window_after(struct tcp_sock *tp, const struct tcp_header *th)
{
	__u32 wnd = BPF_CORE_READ(tp, snd_wnd), una = BPF_CORE_READ(tp, snd_una), first = BPF_CORE_READ(tp, snd_wl1);
	__u32 seq = bpf_ntohl(th->seq), ack = bpf_ntohl(th->ack_seq);
	__u32 offered = bpf_ntohs(th->window) << BPF_CORE_READ_BITFIELD_PROBED(tp, rx_opt.snd_wscale);

	if (after(ack, una) || after(seq, first) || (seq == first && offered > wnd))
		return offered;
	return wnd;
}

static __always_inline struct zero_watch *zero_watch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&zero_watches, &zero);
}

static __always_inline void zero_window_count(__s64 by)
{
	struct zero_watch *watch = zero_watch();

	if (watch)
		__sync_fetch_and_add(&watch->count, by);
}

static __always_inline bool zero_window_any(void)
{
	struct zero_watch *watch = zero_watch();

	return watch && watch->count > 0;
}

static __noinline int zero_window_emit(const struct window_ctx *w, const struct window_change *change, const bool typed)
{
	struct tcc_zero_window *rec;
	struct event e;

	if (!event_filter(&e, w->sk, NULL, TCC_EVENT_ZERO_WINDOW, typed))
		return 0;
	if (AGGREGATES(ZERO_WINDOW))
		observe_count(&e, change->what & WINDOW_LOCAL ? TCC_OBSERVE_ZERO_WINDOWS_LOCAL : TCC_OBSERVE_ZERO_WINDOWS_PEER,
			      !(change->what & WINDOW_END));
	rec = event_record(&e, 0, TCC_EVENT_ZERO_WINDOW, sizeof(*rec));
	if (!rec) {
		copies_release();
		return 0;
	}
	/* From here on times are differences of one clock's readings. */
	rec->event.head.mono_ns = w->now;
	rec->ago_ns = change->ago_ns;
	rec->duration_ns = change->duration_ns;
	rec->wnd_bytes = change->wnd;
	rec->probes = change->probes;
	rec->rmem_alloc = e.sk->sk_backlog.rmem_alloc.counter;
	rec->rcvbuf = e.sk->sk_rcvbuf;
	rec->local = !!(change->what & WINDOW_LOCAL);
	rec->end = !!(change->what & WINDOW_END);
	rec->closed = !!(change->what & WINDOW_CLOSED);
	rec->probes_out = e.icsk->icsk_probes_out;
	rec->backoff = e.icsk->icsk_backoff;
	__builtin_memset(rec->unused, 0, sizeof(rec->unused));
	return event_end(w->ctx, &e, rec, sizeof(*rec), TCC_EVENT_ZERO_WINDOW);
}

/*
 * Reports the change, if there was one. The entry is looked up again, as the verifier would follow each way to here through all that
 * comes after it.
 */
static __always_inline void zero_window_report(struct window_ctx *w, const bool typed)
{
	if (w->change.what)
		zero_window_emit(w, &w->change, typed);
	w->change.what = unknown(0);
	w->zero = bpf_map_lookup_elem(&zero_windows, &w->key);
}

static __always_inline void window_changes(struct window_ctx *w, __u32 what, __u64 at, __u64 since, __u32 wnd)
{
	struct window_change *change = &w->change;

	change->ago_ns = unknown(!at ? TCC_UNKNOWN_NS : w->now > at ? w->now - at : 0);
	change->duration_ns = unknown(what & WINDOW_END && since && at > since ? at - since : TCC_UNKNOWN_NS);
	change->wnd = unknown(wnd);
	change->probes = unknown(w->zero ? w->zero->probes : 0);
	change->what = unknown(WINDOW_CHANGED | what);
}

/* `at`: when it closed; 0: not known. */
static __always_inline bool zero_window_note(struct window_ctx *w, __u32 side, __u64 at)
{
	struct zero_window fresh = {};

	if (!w->zero) {
		if (entry_insert(zero_windows, &w->key, &fresh))
			zero_window_count(1);
		w->zero = bpf_map_lookup_elem(&zero_windows, &w->key);
		if (!w->zero)
			return false;
	}
	w->zero->sides |= side;
	if (side == ZERO_LOCAL) {
		w->zero->local_ns = at;
		w->zero->local_seen_ns = w->now;
	} else {
		w->zero->peer_ns = at;
		w->zero->probes = 0;
	}
	return true;
}

static __always_inline void zero_window_begin(struct window_ctx *w, __u32 side, __u64 at)
{
	if (zero_window_note(w, side, at))
		window_changes(w, side == ZERO_LOCAL ? WINDOW_LOCAL : 0, at, 0, 0);
}

/* `closed`: with the connection. */
static __always_inline void zero_window_end(struct window_ctx *w, __u32 side, bool closed, __u64 at, __u32 wnd)
{
	__u32 what = WINDOW_END | (closed ? WINDOW_CLOSED : 0);

	w->zero->sides &= ~side;
	if (side == ZERO_LOCAL)
		window_changes(w, what | WINDOW_LOCAL, at, w->zero->local_ns, wnd);
	else
		window_changes(w, what, at, w->zero->peer_ns, wnd);
}

/* The map keeps none of which all windows are open. */
static __always_inline void zero_window_delete(struct window_ctx *w)
{
	if (w->zero && !w->zero->sides && entry_delete(zero_windows, &w->key))
		zero_window_count(-1);
}

/* What became of a zero window of which it was not plain whether the kernel takes it; `wnd`: the window now. */
static __always_inline void zero_window_settle(struct window_ctx *w, __u32 wnd)
{
	if (!w->zero || !(w->zero->sides & ZERO_PEER_MAYBE))
		return;
	w->zero->sides &= ~ZERO_PEER_MAYBE;
	if (!wnd)
		zero_window_begin(w, ZERO_PEER, w->zero->peer_ns);
}

/*
 * The peer's window before and after a packet, as far as that is plain; `zero`: the packet's own is zero; `acks`: the kernel takes
 * its ACK.
 */
static __always_inline void check_peer_window(struct window_ctx *w, __u32 before, __u32 wnd, bool zero, bool acks, const bool typed)
{
	struct inet_connection_sock *icsk = (void *)w->sk;
	bool known;

	zero_window_settle(w, unknown(before));
	zero_window_report(w, typed);
	known = w->zero && (w->zero->sides & ZERO_PEER);
	/* The ACK that is about to be processed sets it to 0. Before a RST it stays, and is added at the end. */
	if (known && acks)
		w->zero->probes += BPF_CORE_READ(icsk, icsk_probes_out);
	if (!wnd && !known)
		zero_window_begin(w, ZERO_PEER, before ? w->now : 0);
	else if (wnd && known)
		zero_window_end(w, ZERO_PEER, false, before ? 0 : w->now, wnd);
	if (wnd && zero)
		zero_window_note(w, ZERO_PEER_MAYBE, w->now);
	zero_window_report(w, typed);
}

static __always_inline void check_local_window(struct window_ctx *w, __u32 wnd)
{
	bool known = w->zero && (w->zero->sides & ZERO_LOCAL);
	struct tcp_sock *tp = (void *)w->sk;
	struct zero_watch *watch;
	__u64 clock;

	if (!wnd && known) {
		w->zero->local_seen_ns = w->now;
		return;
	}
	if (!wnd == known)
		return;
	clock = BPF_CORE_READ(tp, tcp_clock_cache);
	watch = zero_watch();
	if (!wnd)
		zero_window_begin(w, ZERO_LOCAL, watch && watch->since_ns && clock > watch->since_ns ? clock : 0);
	else
		/* Before tcp_cleanup_rbuf() set that clock too, it opened just after the application was last seen to read. */
		zero_window_end(w, ZERO_LOCAL, false,
				clock > w->zero->local_seen_ns ? clock : w->zero->local_seen_ns, wnd);
}

static __always_inline bool window_ctx_begin(struct window_ctx *w, void *ctx, struct sock *sk)
{
	w->ctx = ctx;
	w->sk = sk;
	w->key = (__u64)sk;
	w->now = bpf_ktime_get_ns();
	w->zero = bpf_map_lookup_elem(&zero_windows, &w->key);
	__builtin_memset(&w->change, 0, sizeof(w->change));
	return w->zero;
}

static __noinline int zero_window_packet(void *ctx, struct sock *sk, struct sk_buff *skb, const struct tcp_header *th,
					 const bool typed)
{
	struct tcp_sock *tp = (void *)sk;
	__u32 before = BPF_CORE_READ(tp, snd_wnd);
	bool acks = takes_ack(tp, skb, th);
	struct window_ctx w;

	window_ctx_begin(&w, ctx, sk);
	check_peer_window(&w, before, acks ? window_after(tp, th) : before, !th->window, unknown(acks), typed);
	check_local_window(&w, BPF_CORE_READ(tp, rcv_wnd));
	zero_window_report(&w, typed);
	zero_window_delete(&w);
	return 0;
}

static __always_inline void on_zero_window(void *ctx, struct sock *sk, struct sk_buff *skb, const bool typed)
{
	struct tcp_sock *tp = typed ? bpf_skc_to_tcp_sock(sk) : (void *)sk;
	struct zero_watch *watch = zero_watch();
	__u32 snd_wnd, rcv_wnd;
	struct tcp_header th;

	if (!tp || !watch)
		return;
	if (!watch->since_ns)
		watch->since_ns = bpf_ktime_get_ns();
	snd_wnd = FOLLOW(typed, tp, snd_wnd);
	rcv_wnd = FOLLOW(typed, tp, rcv_wnd);
	if (!read_tcp_header(&th, FOLLOW(typed, skb, data)))
		return;
	/* The common case ends here. */
	if (!snd_wnd || !rcv_wnd || !th.window || watch->count > 0)
		zero_window_packet(ctx, sk, skb, &th, typed);
}

/* Where the peer has closed its half nothing more can come, and no window is announced any more. */
static __noinline int zero_window_read(void *ctx, struct sock *sk, const bool typed)
{
	struct window_ctx w;

	window_ctx_begin(&w, ctx, sk);
	check_local_window(&w, BPF_CORE_READ((struct tcp_sock *)sk, rcv_wnd));
	zero_window_report(&w, typed);
	zero_window_delete(&w);
	return 0;
}

static __always_inline void on_zero_window_read(void *ctx, struct sock *sk, const bool typed)
{
	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);

	if (state != TCP_ESTABLISHED && state != TCP_FIN_WAIT1 && state != TCP_FIN_WAIT2)
		return;
	if (!BPF_CORE_READ((struct tcp_sock *)sk, rcv_wnd) || zero_window_any())
		zero_window_read(ctx, sk, typed);
}

/*
 * Of the windows that a connection in that state has no more use for: an open one has opened at a time that is not known
 * (tcp_probe is silent once either side has closed its half), a closed one will not open.
 */
static __noinline int zero_window_over(void *ctx, struct sock *sk, __u32 sides, const bool typed)
{
	struct inet_connection_sock *icsk = (void *)sk;
	struct tcp_sock *tp = (void *)sk;
	struct window_ctx w;
	__u32 wnd;

	if (!zero_window_any() || !window_ctx_begin(&w, ctx, sk))
		return 0;
	wnd = BPF_CORE_READ(tp, snd_wnd);
	if (sides & ZERO_PEER)
		zero_window_settle(&w, unknown(wnd));
	zero_window_report(&w, typed);
	if (w.zero && sides & w.zero->sides & ZERO_PEER) {
		w.zero->probes += BPF_CORE_READ(icsk, icsk_probes_out);
		zero_window_end(&w, ZERO_PEER, !wnd, wnd ? 0 : w.now, wnd);
	}
	zero_window_report(&w, typed);
	if (w.zero && sides & w.zero->sides & ZERO_LOCAL) {
		wnd = BPF_CORE_READ(tp, rcv_wnd);
		zero_window_end(&w, ZERO_LOCAL, !wnd, wnd ? 0 : w.now, wnd);
	}
	zero_window_report(&w, typed);
	zero_window_delete(&w);
	return 0;
}

static __always_inline void on_zero_window_state(void *ctx, struct sock *sk, int state, const bool typed)
{
	__u32 sides = 0;

	/* All that we sent is acknowledged; the peer's FIN has come; both are over. */
	if (state == TCP_FIN_WAIT2 || state == TCP_CLOSE)
		sides |= ZERO_PEER;
	if (state == TCP_CLOSE_WAIT || state == TCP_CLOSING || state == TCP_LAST_ACK || state == TCP_CLOSE)
		sides |= ZERO_LOCAL;
	if (sides)
		zero_window_over(ctx, sk, unknown(sides), typed);
}

#endif
