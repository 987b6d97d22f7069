/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tcp:tcp_probe: a packet enters tcp_rcv_established(), so the values are those before it is processed.
 *
 * Three readers, one of which is loaded:
 *   record  the tracepoint's own record: standard fields only, data_len is 16 bits wide
 *   sock    tp_btf: struct sock by direct loads
 *   raw     raw_tp: the same by probe reads, for kernels without BPF trampolines
 */
#ifndef __TCC_PROBE_BPF_H__
#define __TCC_PROBE_BPF_H__

#include "kernel.h"
#include "event.h"
#include "probe.h"
#include "maps.bpf.h"
#include "emit.bpf.h"
#include "sock.bpf.h"
#include "fields.bpf.h"
#include "conn.bpf.h"
#include "programs.bpf.h"
#include "filter.bpf.h"
#include "gate.bpf.h"
#include "limit.bpf.h"
#include "histogram.bpf.h"
#include "observe_sample.bpf.h"

static __always_inline void load_probe(struct tcc_probe_std *out, struct tcp_sock *tp, struct sk_buff *skb,
				       __u8 ca_state)
{
	struct tcp_skb_cb *cb = (void *)skb->cb;
	__u16 flags = cb->tcp_flags;

	out->mark = skb->mark;
	/* As the receive path has it, from the header; SYN and FIN take a sequence number each. */
	out->data_len = cb->end_seq - cb->seq - !!(flags & TCPHDR_SYN) - !!(flags & TCPHDR_FIN);
	out->snd_nxt = tp->snd_nxt;
	out->snd_una = tp->snd_una;
	out->snd_cwnd = tp->snd_cwnd;
	out->ssthresh = current_ssthresh(tp->snd_ssthresh, out->snd_cwnd, ca_state);
	out->snd_wnd = tp->snd_wnd;
	out->srtt_us = tp->srtt_us >> 3;
	out->rcv_wnd = tp->rcv_wnd;
	out->unused = 0;
}

/* With --trigger: a sample in its slot. --sample, --every and --on-change choose which ones are kept, and not which ones are records. */
static __noinline int probe_kept(void *ctx, struct tcc_counters *n, struct trigger_conn *kept, struct tcc_probe *rec, bool sampled)
{
	if (!trigger_wants(ctx, kept, &rec->head, where_holds(rec, TCC_EVENT_PROBE))) {
		kept->count += sampled;
		if (sampled)
			COUNT_ALONE(n, unmatched);
		else
			COUNT_ALONE(n, sampled_out);
	} else if (!pass_rate(NULL, rec->head.mono_ns)) {
		COUNT_ALONE(n, rate_limited);
	} else if (trigger_output(ctx, rec)) {
		COUNT_ALONE(n, lost);
	} else {
		COUNT_ALONE(n, submitted);
	}
	return 0;
}

/* `key` is the event's socket; `sk`, `tp` and `skb` are what may be loaded from: the real ones or copies. */
static __always_inline int probe_event(void *ctx, struct tcc_counters *n, void *key, struct sock *sk, struct tcp_sock *tp,
				    struct sk_buff *skb, const bool typed)
{
	struct tcc_probe *rec;
	struct tcc_head head = {};
	struct conn *conn = NULL;
	struct trigger_conn *kept = NULL;
	const __u16 size = cfg.probe_len;
	__u32 ifindex;
	__u8 ca_state;
	bool sampled;

	if (RECORDS(PROBE) || cfg.filters || cfg.key_by_cookie || cfg.by & TCC_BY_ENDS)
		load_head(&head, sk, TCC_EVENT_PROBE, size, typed);
	ifindex = skb->skb_iif;
	if (cfg.filters &&
	    (!filter_head(&head, zone_of(sk)) || !filter_sock(sk, tp, skb->mark, ifindex, typed))) {
		COUNT_ALONE(n, filtered);
		return 0;
	}
	if (cfg.track_conn && (cfg.track_owner || RECORDS(PROBE)))
		conn = conn_of(conn_key(key, head.cookie));
	if (cfg.track_owner && conn)
		request_owner_scan(conn, tp);
	if (cfg.filters && !filter_owner(conn)) {
		owner_refused(n, conn);
		return 0;
	}
	if (COUNTS(PROBE))
		COUNT_ALONE(n, counted);
	if (AGGREGATES(PROBE)) {
		if (cfg.observe ? observe_sample(&head, sk, tp, conn, typed) : histogram_add(&head, sk, tp, conn, typed))
			COUNT_ALONE(n, aggregated);
		else
			COUNT_ALONE(n, overflow);
	}
	if (!RECORDS(PROBE))
		return 0;
	if (!pass_gate(&head.cookie)) {
		COUNT_ALONE(n, gated);
		return 0;
	}
	ca_state = load_ca_state(tp);
	sampled = !conn || pass_sampling(conn, head.mono_ns, tp->snd_cwnd, tp->snd_ssthresh, ca_state);
	if (!sampled && !cfg.trigger) {
		COUNT_ALONE(n, sampled_out);
		return 0;
	}
	if (!cfg.trigger && !pass_rate(conn, head.mono_ns)) {
		COUNT_ALONE(n, rate_limited);
		return 0;
	}
	if (conn && sampled) {
		conn_showed(conn, tp->snd_cwnd, tp->snd_ssthresh, ca_state);
		conn->emitted_ns = head.mono_ns;
	}

	if (cfg.trigger) {
		kept = trigger_conn_of(head.cookie);
		rec = kept ? trigger_slot(kept, kept->count) : NULL;
	} else {
		rec = emit_begin(size, TCC_EVENT_PROBE);
	}
	if (!rec) {
		COUNT_ALONE(n, lost);
		return 0;
	}
	rec->head = head;
	load_probe(&rec->std, tp, skb, ca_state);
	if (size > sizeof(*rec))
		load_fields(rec, sk, tp, conn, ifindex, ca_state, typed);
	if (cfg.trigger)
		return probe_kept(ctx, n, kept, rec, sampled);
	emit_submit(ctx, n, rec, size, TCC_EVENT_PROBE, true);
	return 0;
}

/*
 * No program but one writes to each of these two rows, and it does not run where it has interrupted itself: then counting needs
 * no atomic operation. Before 6.1 a program may.
 */
static __always_inline struct tcc_counters *probe_counters(struct tcc_cpu *cpu, const bool fallback)
{
	__u64 row = fallback;

	/* Computed: of a branch, the verifier would follow each way through the rest of the program. */
	barrier_var(row);
	return &cpu->counters[TCC_EVENT_PROBE + row * (TCC_EVENT_MAX - TCC_EVENT_PROBE)];
}

/* Typed: the argument is a plain struct sock to the verifier, and its tcp_sock is one after a cast (never NULL here). */
static __noinline int on_probe(void *ctx, struct tcc_counters *n, struct sock *sk, struct sk_buff *skb, const bool typed)
{
	struct copies *copy;
	struct tcp_sock *tp;

	COUNT_ALONE(n, seen);
	if (typed) {
		tp = bpf_skc_to_tcp_sock(sk);
		if (tp)
			probe_event(ctx, n, sk, sk, tp, skb, true);
		else
			COUNT_ALONE(n, unread);
		return 0;
	}
	copy = copies_claim();
	if (!copy) {
		COUNT_ALONE(n, unread);
		return 0;
	}
	if (copy_sock(copy, sk) && copy_skb(copy, skb))
		probe_event(ctx, n, sk, (void *)copy->sock, (void *)copy->sock, (void *)copy->skb, false);
	else
		COUNT_ALONE(n, unread);
	copies_release();
	return 0;
}

/* From a sockaddr of the record; the record itself says the family from 5.12 (3dd344ea84e1) only, the sockaddr always. */
static __always_inline void record_addr(__u8 out[16], const __u8 *sockaddr)
{
	if (*(__u16 *)sockaddr == AF_INET6)
		__builtin_memcpy(out, sockaddr + 8, 16);
	else
		ipv4_mapped(out, *(__be32 *)(sockaddr + 4));
}

static __always_inline void run_tcp_probe_record(struct trace_event_raw_tcp_probe *ctx)
{
	struct tcc_counters *n = counters_of(TCC_EVENT_PROBE);
	struct tcc_probe *rec;
	struct tcc_head head = {};
	struct conn *conn = NULL;
	__u8 sockaddr[28];

	if (!n || !reader.started)
		return;
	COUNT(n, seen);

	head.mono_ns = bpf_ktime_get_ns();
	head.cookie = ctx->sock_cookie;
	bpf_core_read(sockaddr, sizeof(sockaddr), &ctx->saddr);
	record_addr(head.saddr, sockaddr);
	bpf_core_read(sockaddr, sizeof(sockaddr), &ctx->daddr);
	record_addr(head.daddr, sockaddr);
	head.sport = ctx->sport;
	head.dport = ctx->dport;
	head.event_type = TCC_EVENT_PROBE;
	head.len = sizeof(struct tcc_probe);
	if (!filter_head(&head, 0)) {
		COUNT(n, filtered);
		return;
	}
	if (COUNTS(PROBE))
		COUNT(n, counted);
	if (!RECORDS(PROBE))
		return;
	if (!pass_gate(&head.cookie)) {
		COUNT(n, gated);
		return;
	}
	if (cfg.track_conn)
		conn = conn_of(conn_key(NULL, head.cookie));
	if (conn && !pass_sampling(conn, head.mono_ns, ctx->snd_cwnd, ctx->ssthresh, 0)) {
		COUNT(n, sampled_out);
		return;
	}
	if (!pass_rate(conn, head.mono_ns)) {
		COUNT(n, rate_limited);
		return;
	}
	if (conn)
		conn->emitted_ns = head.mono_ns;

	rec = emit_begin(sizeof(*rec), TCC_EVENT_PROBE);
	if (!rec) {
		COUNT(n, lost);
		return;
	}
	rec->head = head;
	rec->std.mark = ctx->mark;
	rec->std.data_len = ctx->data_len;
	rec->std.snd_nxt = ctx->snd_nxt;
	rec->std.snd_una = ctx->snd_una;
	rec->std.snd_cwnd = ctx->snd_cwnd;
	rec->std.ssthresh = ctx->ssthresh;
	rec->std.snd_wnd = ctx->snd_wnd;
	rec->std.srtt_us = ctx->srtt;
	rec->std.rcv_wnd = ctx->rcv_wnd;
	rec->std.unused = 0;
	emit_end(ctx, n, rec, sizeof(*rec), TCC_EVENT_PROBE);
}
CLASSIC_PROGRAM("tcp/tcp_probe", tcp_probe_record, struct trace_event_raw_tcp_probe)

/*
 * Does nothing, and is attached before the other readers where they cannot make a cookie themselves (raw_tp; tp_btf
 * before 5.12): to serve a classic tracepoint the kernel fills in the record, and that generates the socket's cookie.
 */
static __always_inline void run_tcp_probe_cookie(void *ctx)
{
}
CLASSIC_PROGRAM("tcp/tcp_probe", tcp_probe_cookie, void)

#endif
