/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a sender waits for, from the state of its socket: docs/limits.md has each rule with its reason, under the same number.
 *
 * Only additions, comparisons and multiplications, and of BPF only what helps the verifier: a test compiles this header for the host and
 * compares it with a reference.
 */
#ifndef __TCC_LIMITS_RULES_H__
#define __TCC_LIMITS_RULES_H__

#include "limits.h"

#define LIMITS_INLINE static inline __attribute__((always_inline))

/* For the verifier only: see maps.bpf.h. */
#ifdef __bpf__
#include "maps.bpf.h"
#else
LIMITS_INLINE __u64 unknown(__u64 value)
{
	return value;
}
#endif

/* Constants of the kernel, which kernel.h has for the programs. */
enum {
	LIMITS_SYN_SENT = 2,
	LIMITS_SYN_RECV = 3,
	LIMITS_CA_OPEN = 0,
	LIMITS_CA_DISORDER = 1,
	LIMITS_CA_CWR = 2,
	LIMITS_CA_RECOVERY = 3,
	LIMITS_CA_LOSS = 4,
	LIMITS_TIME_PROBE0 = 3,
	LIMITS_CHRONO_RWND = 2,
	LIMITS_BBR_DRAIN = 1,
	LIMITS_BBR_PROBE_RTT = 3,
};

/* The members of the socket that the rules read. */
struct limits_sock {
	__u64 now_ns;
	__u64 wstamp_ns; /* tcp_wstamp_ns: when pacing allows the next packet */
	__u64 pacing_rate;
	__u64 max_pacing_rate;
	__u32 packets_out;
	__u32 sacked_out;
	__u32 lost_out;
	__u32 retrans_out;
	__u32 write_seq;
	__u32 snd_nxt;
	__u32 snd_una;
	__u32 snd_wnd;
	__u32 max_window;
	__u32 snd_cwnd;
	__u32 snd_cwnd_clamp;
	__u32 snd_ssthresh;
	__u32 mss;
	__u32 rtt_us; /* the last sample */
	__u32 min_rtt_us; /* ~0: there was none */
	__u32 srtt_us;
	__u32 wmem_alloc; /* memory of packets that have not left this host; 1 more */
	__u32 busy; /* the kernel's busy time, jiffies; where it is needed */
	__u8 state;
	__u8 ca_state;
	__u8 pending; /* icsk_pending */
	__u8 chrono_type;
	__u8 tsq; /* TSQ_THROTTLED or TSQ_QUEUED is set */
	__u8 nospace; /* SOCK_NOSPACE: the application waits for room */
	__u8 paced; /* sk_pacing_status is not SK_PACING_NONE */
	__u8 bbr_mode; /* these three of BBR only */
	__u8 bbr_full_bw; /* full_bw_reached */
	__u8 bbr_lt_bw; /* lt_use_bw */
	__u8 unused[2];
};

LIMITS_INLINE __u32 limits_tick(__u64 ns)
{
	return ns >> TCC_TICK_BITS | 1;
}

/* 1000 / 4096 */
LIMITS_INLINE __u64 limits_us_ticks(__u64 us)
{
	return us * 250 >> 10;
}

LIMITS_INLINE _Bool limits_within(__u32 seen, __u32 now, __u64 span)
{
	return seen && (__u32)(now - seen) <= span;
}

/*
 * The smallest RTT of the present window of two round trips and of the one before: a queue that bursts make is gone within them, one that
 * stands is not.
 */
LIMITS_INLINE __u32 limits_floor(struct tcc_limits *l, const struct limits_sock *s, __u32 tick)
{
	__u64 window = limits_us_ticks(s->srtt_us < 500 ? 1000 : (__u64)s->srtt_us * 2);
	__u32 age = tick - l->floor_tick;

	if (!l->floor_tick || age > window) {
		l->floor_before_us = !l->floor_tick || age > 2 * window ? s->rtt_us : l->floor_us;
		l->floor_us = s->rtt_us;
		l->floor_tick = tick;
	} else if (s->rtt_us < l->floor_us) {
		l->floor_us = s->rtt_us;
	}
	return l->floor_us < l->floor_before_us ? l->floor_us : l->floor_before_us;
}

/* What several rules ask. */
struct limits_view {
	__u64 span; /* ten round trips, in ticks */
	__u32 tick;
	__u32 unsent;
	__s64 room; /* of the peer's window */
	__s64 cwin; /* of the congestion window; both in bytes */
	_Bool queue; /* the last RTT is above the smallest */
	__u64 stand; /* and so were all of the last round trips; as a _Bool it would be known again */
	_Bool here; /* most of what is in flight has not left this host */
	_Bool in_recovery;
};

LIMITS_INLINE __u64 limits_path(const struct limits_view *v)
{
	return v->here ? TCC_CAUSE_LOCAL_QUEUE : TCC_CAUSE_PATH;
}

/* One late sample is a busy host; a queue keeps the RTT up for a quarter of a round trip. */
LIMITS_INLINE void limits_queue_seen(struct tcc_limits *l, const struct limits_sock *s, const struct limits_view *v)
{
	if (!v->queue)
		l->queue_since_tick = 0;
	else if (!l->queue_since_tick)
		l->queue_since_tick = v->tick;
	else if ((__u32)(v->tick - l->queue_since_tick) >= limits_us_ticks(s->srtt_us >> 2))
		l->queue_tick = v->tick;
}

/* Rule 5: nothing is waiting but perhaps a part of a segment. */
LIMITS_INLINE __u64 limits_nothing_waits(const struct limits_sock *s, const struct limits_view *v)
{
	if (v->in_recovery && (s->lost_out || s->retrans_out))
		return TCC_CAUSE_RECOVERY;
	if (s->nospace)
		return v->stand ? limits_path(v) : TCC_CAUSE_SNDBUF;
	if (v->unsent && v->unsent > v->room && v->cwin >= s->mss)
		return TCC_CAUSE_RWND;
	return TCC_CAUSE_APPLICATION;
}

/* Rule 7: a window is full. */
LIMITS_INLINE __u64 limits_blocked(const struct tcc_limits *l, const struct limits_sock *s, const struct limits_view *v, _Bool capped)
{
	if (v->room < v->cwin) {
		if (v->stand && (__u64)s->snd_wnd * 4 >= (__u64)s->max_window * 3)
			return limits_path(v);
		return TCC_CAUSE_RWND;
	}
	if (v->in_recovery && !(l->bbr && v->cwin >= s->mss))
		return TCC_CAUSE_RECOVERY;
	if (l->bbr) {
		if (capped && !v->queue)
			return TCC_CAUSE_PACING_CAP;
		if (s->bbr_mode == LIMITS_BBR_PROBE_RTT)
			return TCC_CAUSE_PACING;
		if (!s->bbr_full_bw && !v->stand)
			return TCC_CAUSE_SLOW_START;
		return limits_within(l->queue_tick, v->tick, v->span) ? limits_path(v) : TCC_CAUSE_CWND;
	}
	if (s->snd_cwnd >= s->snd_cwnd_clamp)
		return TCC_CAUSE_CWND;
	if (v->here)
		return TCC_CAUSE_LOCAL_QUEUE;
	if (v->stand)
		return TCC_CAUSE_PATH;
	return s->snd_cwnd < s->snd_ssthresh ? TCC_CAUSE_SLOW_START : TCC_CAUSE_CWND;
}

/* Rule 8f: BBR paces. */
LIMITS_INLINE __u64 limits_bbr_paces(const struct tcc_limits *l, const struct limits_sock *s, const struct limits_view *v)
{
	__u64 queue_us = s->rtt_us > s->min_rtt_us ? s->rtt_us - s->min_rtt_us : 0;

	if (limits_within(l->tsq_tick, v->tick, v->span) &&
	    (!v->queue || 2000000ULL * (s->wmem_alloc - 1) >= queue_us * s->pacing_rate))
		return TCC_CAUSE_LOCAL_QUEUE;
	if (s->bbr_mode == LIMITS_BBR_PROBE_RTT)
		return TCC_CAUSE_PACING;
	if (!s->bbr_full_bw && !v->stand)
		return TCC_CAUSE_SLOW_START;
	if (s->bbr_lt_bw || s->bbr_mode == LIMITS_BBR_DRAIN || limits_within(l->queue_tick, v->tick, v->span))
		return TCC_CAUSE_PATH;
	return TCC_CAUSE_PACING;
}

/* Rule 8: both windows have room and data is waiting, so pacing or the layers below hold it. */
LIMITS_INLINE __u64 limits_held_below(const struct tcc_limits *l, const struct limits_sock *s, const struct limits_view *v, _Bool capped,
				      __s64 chunk)
{
	if (s->tsq && !(s->paced && s->wstamp_ns > s->now_ns))
		return TCC_CAUSE_LOCAL_QUEUE;
	if (!s->paced) {
		if (v->here)
			return TCC_CAUSE_LOCAL_QUEUE;
		return s->snd_cwnd < s->snd_ssthresh && v->cwin < chunk ? TCC_CAUSE_SLOW_START : TCC_CAUSE_UNDECIDED;
	}
	if (capped || (!v->queue && limits_within(l->cap_tick, v->tick, v->span)))
		return TCC_CAUSE_PACING_CAP;
	if (v->room < (__s64)(s->snd_wnd / 4) && v->room < v->cwin && !v->stand)
		return TCC_CAUSE_RWND;
	if (s->nospace && v->unsent < (s->snd_nxt - s->snd_una) / 4 && !v->stand)
		return TCC_CAUSE_SNDBUF;
	if (l->bbr)
		return limits_bbr_paces(l, s, v);
	return v->queue ? TCC_CAUSE_PATH : TCC_CAUSE_PACING;
}

/*
 * The cause of an interval from the state at its end, before the kernel works on what ended it. `rto`: that was the retransmission timer or
 * a tail loss probe.
 */
LIMITS_INLINE __u64 limits_classify(struct tcc_limits *l, const struct limits_sock *s, _Bool rto)
{
	__u64 rtt_us = s->srtt_us, least, chunk;
	struct limits_view v;
	_Bool capped, paced;
	__s64 lim, full;
	__u32 out, infl;

	if (s->state == LIMITS_SYN_SENT || s->state == LIMITS_SYN_RECV) /* 1 */
		return TCC_CAUSE_HANDSHAKE;
	v.unsent = s->write_seq - s->snd_nxt;
	if (!s->packets_out && !v.unsent) /* 2 */
		return TCC_CAUSE_IDLE;
	if (rto || s->ca_state == LIMITS_CA_LOSS) /* 3 */
		return TCC_CAUSE_RTO;
	v.room = (__s32)(s->snd_una + s->snd_wnd - s->snd_nxt);
	if (v.unsent && (!s->snd_wnd || (s->pending == LIMITS_TIME_PROBE0 && v.room < s->mss))) /* 4 */
		return TCC_CAUSE_ZERO_WINDOW;

	v.tick = limits_tick(s->now_ns);
	least = (__u64)s->min_rtt_us + (s->min_rtt_us >> 3) + 500;
	v.queue = s->rtt_us > least;
	limits_queue_seen(l, s, &v);
	v.stand = unknown(limits_floor(l, s, v.tick) > least - (s->min_rtt_us >> 4) && s->packets_out >= 4);
	if (s->tsq)
		l->tsq_tick = v.tick;
	capped = s->pacing_rate >= s->max_pacing_rate && ~s->max_pacing_rate;
	if (capped)
		l->cap_tick = v.tick;
	if (s->min_rtt_us != ~0U && s->min_rtt_us > rtt_us)
		rtt_us = s->min_rtt_us;
	v.span = limits_us_ticks(rtt_us * 10);
	out = s->snd_nxt - s->snd_una;
	infl = s->packets_out - s->sacked_out - s->lost_out + s->retrans_out;
	v.cwin = ((__s64)s->snd_cwnd - (__s32)infl) * s->mss;
	v.here = (s->wmem_alloc - 1) * 2ULL > out;
	v.in_recovery = s->ca_state == LIMITS_CA_CWR || s->ca_state == LIMITS_CA_RECOVERY;

	if (v.unsent < s->mss) /* 5 */
		return limits_nothing_waits(s, &v);
	paced = s->paced && s->wstamp_ns > l->t0_ns;
	lim = v.room < v.cwin ? v.room : v.cwin;
	if (s->tsq && lim >= s->mss && !paced) /* 6 */
		return TCC_CAUSE_LOCAL_QUEUE;
	chunk = (__u64)s->snd_cwnd * s->mss;
	if (s->snd_wnd < chunk)
		chunk = s->snd_wnd;
	full = lim * 3;
	if (lim < s->mss || (!paced && full < (__s64)chunk && lim < v.unsent) || s->chrono_type == LIMITS_CHRONO_RWND) /* 7 */
		return limits_blocked(l, s, &v, capped);
	return limits_held_below(l, s, &v, capped, chunk / 3); /* 8 */
}

/* A run of intervals of one cause ends, and with `cause` another begins. */
LIMITS_INLINE void limits_turn(struct tcc_limits *l, __u64 cause)
{
	l->run_tick = limits_tick(l->t0_ns);
	l->cause = cause;
	if (cause == TCC_CAUSE_IDLE)
		l->idles += 1;
	else if (cause == TCC_CAUSE_APPLICATION)
		l->writes += 1;
	else if (cause == TCC_CAUSE_ZERO_WINDOW)
		l->zero_windows += 1;
}

LIMITS_INLINE void limits_evidence(struct tcc_limits *l, const struct limits_sock *s, __u64 cause)
{
	__u32 ticks = limits_tick(s->now_ns) - l->run_tick;

	if (cause == TCC_CAUSE_RWND)
		l->rwnd = s->snd_wnd;
	else if (cause == TCC_CAUSE_SNDBUF)
		l->sndbuf = s->snd_nxt - s->snd_una;
	else if (cause == TCC_CAUSE_LOCAL_QUEUE)
		l->queued = s->wmem_alloc - 1;
	else if (cause == TCC_CAUSE_RTO && ticks > l->longest_rto)
		l->longest_rto = ticks;
	else if (cause == TCC_CAUSE_ZERO_WINDOW && ticks > l->longest_zero_window)
		l->longest_zero_window = ticks;
}

/* The reader has reported the time until its cut: that keeps its cause. */
LIMITS_INLINE void limits_cut(struct tcc_limits *l, __u64 now_ns)
{
	__u64 cut_ns = l->cut >> TCC_CUT_BITS;
	__u64 cause = l->cut & ((1 << TCC_CUT_BITS) - 1);

	if (cut_ns <= l->t0_ns || cut_ns > now_ns || cause >= TCC_CAUSES)
		return;
	l->ns[cause] += cut_ns - l->t0_ns;
	if (cause != l->cause)
		limits_turn(l, cause);
	l->t0_ns = cut_ns;
}

/*
 * Idle time within an interval that ends with data in flight, from the kernel's busy time; where no event ends an idle time. That one has
 * the resolution of jiffies, so what does not fit is carried over.
 */
LIMITS_INLINE __u64 limits_idle(struct tcc_limits *l, const struct limits_sock *s, __u64 ns, _Bool idle, __u32 jiffy_ns)
{
	__s64 most = 2 * (__s64)jiffy_ns, left = l->idle_ns + (__s64)ns - (__s64)(__s32)(s->busy - l->busy) * jiffy_ns;
	__s64 part = idle ? (__s64)ns : left;

	if (part < 0)
		part = 0;
	if (part > (__s64)ns)
		part = ns;
	left -= part;
	l->busy = s->busy;
	l->idle_ns = left > most ? most : left < -most ? -most : left;
	return part;
}

/* Ends an interval of that cause. `jiffy_ns`: 0, or idle time is told from the kernel's busy time. */
LIMITS_INLINE void limits_account(struct tcc_limits *l, const struct limits_sock *s, __u64 cause, __u32 jiffy_ns)
{
	__u64 ns = s->now_ns - l->t0_ns, idle = 0, of;
	__u32 acked = s->snd_una - l->snd_una;

	if (jiffy_ns)
		idle = limits_idle(l, s, ns, cause == TCC_CAUSE_IDLE, jiffy_ns);
	if (cause >= TCC_CAUSES)
		return;
	l->ns[TCC_CAUSE_IDLE] += idle;
	l->ns[cause] += ns - idle;
	if (cause != l->cause)
		limits_turn(l, cause);
	limits_evidence(l, s, cause);
	/* 64 bits wide, as the verifier loses a bound where the compiler clears the upper half. */
	of = cause - TCC_CAUSE_SNDBUF;
	if (of < TCC_ACKED_CAUSES)
		l->acked[of] += acked;
	l->snd_una = s->snd_una;
	l->t0_ns = s->now_ns;
}

/*
 * All of an event: the interval since the last one, and its cause. Where tcp_probe is silent that is the cause that was left after the last
 * event. Time that goes backwards adds nothing.
 */
LIMITS_INLINE void limits_advance(struct tcc_limits *l, const struct limits_sock *s, _Bool rto, __u32 jiffy_ns)
{
	if (s->now_ns < l->t0_ns)
		return;
	limits_cut(l, s->now_ns);
	l->next = l->held && !rto ? l->held - 1ULL : limits_classify(l, s, rto);
	limits_account(l, s, *(volatile __u32 *)&l->next, jiffy_ns);
}

#endif
