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

/* `key` is the event's socket; `sk`, `tp` and `skb` are what may be loaded from: the real ones or copies. */
static __always_inline int on_probe(void *ctx, struct tcc_counters *n, void *key, struct sock *sk, struct tcp_sock *tp,
				    struct sk_buff *skb, const bool typed)
{
	struct tcc_probe_full *rec;
	struct tcc_head head;
	struct conn *conn = NULL;
	const __u16 size = cfg.full ? sizeof(struct tcc_probe_full) : sizeof(struct tcc_probe);
	__u32 ifindex;
	__u8 ca_state;

	load_head(&head, sk, TCC_EVENT_PROBE, size, typed);
	ifindex = skb->skb_iif;
	if (!filter_head(&head, zone_of(sk)) || !filter_sock(sk, tp, skb->mark, ifindex, typed)) {
		COUNT(n, filtered);
		return 0;
	}
	if (cfg.track_conn)
		conn = conn_of(conn_key(key, head.cookie));
	if (cfg.track_owner && conn)
		request_owner_scan(conn, tp);
	if (!filter_owner(conn)) {
		owner_refused(n, conn);
		return 0;
	}
	ca_state = load_ca_state(tp);
	if (conn && !pass_sampling(conn, head.mono_ns, tp->snd_cwnd, tp->snd_ssthresh, ca_state)) {
		COUNT(n, sampled_out);
		return 0;
	}
	if (!pass_rate(conn, head.mono_ns)) {
		COUNT(n, rate_limited);
		return 0;
	}
	if (conn) {
		conn_showed(conn, tp->snd_cwnd, tp->snd_ssthresh, ca_state);
		conn->emitted_ns = head.mono_ns;
	}
	if (cfg.value) {
		if (histogram_add(&head, sk, tp, typed))
			COUNT(n, aggregated);
		else
			COUNT(n, lost);
		return 0;
	}

	rec = emit_begin(size);
	if (!rec) {
		COUNT(n, lost);
		return 0;
	}
	rec->head = head;
	load_probe(&rec->std, tp, skb, ca_state);
	if (cfg.full) {
		load_owner(&rec->owner, sk, conn, ifindex, typed);
		load_sock(&rec->sock, sk, tp, ca_state, typed);
	}
	emit_end(ctx, n, rec, size);
	return 0;
}

/*
 * tcp_probe fires in process context, too (a backlog that its owner works off), where a softirq can interrupt the program
 * with an event of its own. From 6.1 (05b24ff9b2cf) the kernel skips a program that is at work on that CPU already. So a
 * second one is attached behind each, and takes what the first was skipped for: packets that it has not left a mark of.
 * The first leaves it before all else, the second takes it away. A softirq that comes between the two programs, with a
 * packet for the same slot, would have an event taken twice: that is one of some ten million where all CPUs are busy.
 */
static __always_inline struct mark *mark_of(__u32 slot)
{
	__u32 zero = 0;
	struct marks *of_cpu = bpf_map_lookup_elem(&marks, &zero);

	return of_cpu ? &of_cpu->mark[slot % MARKS] : NULL;
}

static __always_inline void mark_taken(__u32 slot, struct sk_buff *skb, __u32 end_seq)
{
	struct mark *mark = mark_of(slot);

	if (mark) {
		mark->end_seq = end_seq;
		mark->skb = (__u64)skb;
	}
}

static __always_inline bool taken_before(__u32 slot, struct sk_buff *skb, __u32 end_seq)
{
	struct mark *mark = mark_of(slot);

	if (!mark || mark->skb != (__u64)skb || mark->end_seq != end_seq)
		return false;
	mark->skb = 0;
	return true;
}

/*
 * The counters of an event that is this program's to take. `slot` and `end_seq` distinguish it from others: of the
 * connection, and of the packet; where a load is cheap.
 */
static __always_inline struct tcc_counters *take(__u32 slot, struct sk_buff *skb, __u32 end_seq, const bool second)
{
	struct tcc_counters *n;

	if (second && taken_before(slot, skb, end_seq))
		return NULL;
	if (!second)
		mark_taken(slot, skb, end_seq);
	n = counters_of(TCC_EVENT_PROBE);
	if (!n)
		return NULL;
	COUNT(n, seen);
	if (second)
		COUNT(n, caught);
	return n;
}

/* The argument is a plain struct sock to the verifier; tcp_sock's own fields want the cast helper (never NULL here). */
static __always_inline int on_probe_sock(void *ctx, struct sock *sk, struct sk_buff *skb, const bool second)
{
	struct tcc_counters *n = take(sk->__sk_common.skc_hash, skb, ((struct tcp_skb_cb *)skb->cb)->end_seq, second);
	struct copies *copy;
	struct tcp_sock *tp;

	if (!n)
		return 0;
	if (!cfg.full) {
		tp = bpf_skc_to_tcp_sock(sk);
		if (tp)
			on_probe(ctx, n, sk, sk, tp, skb, true);
		else
			COUNT(n, lost);
		return 0;
	}
	copy = copies_claim();
	if (!copy || !copy_sock(copy, sk, bpf_core_type_size(struct sock)))
		COUNT(n, lost);
	else
		on_probe(ctx, n, sk, sk, (void *)copy->sock, skb, true);
	if (copy)
		copies_release();
	return 0;
}

SEC("tp_btf/tcp_probe")
int BPF_PROG(probe_sock, struct sock *sk, struct sk_buff *skb)
{
	return on_probe_sock(ctx, sk, skb, false);
}

SEC("tp_btf/tcp_probe")
int BPF_PROG(probe_sock_fallback, struct sock *sk, struct sk_buff *skb)
{
	return on_probe_sock(ctx, sk, skb, true);
}

static __always_inline int on_probe_raw(void *ctx, struct sock *sk, struct sk_buff *skb, const bool second)
{
	struct tcc_counters *n = take((__u64)skb >> 6, skb, 0, second);
	struct copies *copy;

	if (!n)
		return 0;
	copy = copies_claim();
	if (!copy || !copy_sock(copy, sk, 0) || !copy_skb(copy, skb))
		COUNT(n, lost);
	else
		on_probe(ctx, n, sk, (void *)copy->sock, (void *)copy->sock, (void *)copy->skb, false);
	if (copy)
		copies_release();
	return 0;
}

SEC("raw_tp/tcp_probe")
int BPF_PROG(probe_raw, struct sock *sk, struct sk_buff *skb)
{
	return on_probe_raw(ctx, sk, skb, false);
}

SEC("raw_tp/tcp_probe")
int BPF_PROG(probe_raw_fallback, struct sock *sk, struct sk_buff *skb)
{
	return on_probe_raw(ctx, sk, skb, true);
}

/* From a sockaddr of the record; the record itself says the family from 5.12 (3dd344ea84e1) only, the sockaddr always. */
static __always_inline void record_addr(__u8 out[16], const __u8 *sockaddr)
{
	if (*(__u16 *)sockaddr == AF_INET6)
		__builtin_memcpy(out, sockaddr + 8, 16);
	else
		ipv4_mapped(out, *(__be32 *)(sockaddr + 4));
}

SEC("tp/tcp/tcp_probe")
int probe_record(struct trace_event_raw_tcp_probe *ctx)
{
	struct tcc_counters *n = counters_of(TCC_EVENT_PROBE);
	struct tcc_probe *rec;
	struct tcc_head head = {};
	struct conn *conn = NULL;
	__u8 sockaddr[28];

	if (!n)
		return 0;
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
		return 0;
	}
	if (cfg.track_conn)
		conn = conn_of(conn_key(NULL, head.cookie));
	if (conn && !pass_sampling(conn, head.mono_ns, ctx->snd_cwnd, ctx->ssthresh, 0)) {
		COUNT(n, sampled_out);
		return 0;
	}
	if (!pass_rate(conn, head.mono_ns)) {
		COUNT(n, rate_limited);
		return 0;
	}
	if (conn)
		conn->emitted_ns = head.mono_ns;

	rec = emit_begin(sizeof(*rec));
	if (!rec) {
		COUNT(n, lost);
		return 0;
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
	emit_end(ctx, n, rec, sizeof(*rec));
	return 0;
}

/*
 * Does nothing, and is attached before the other readers where they cannot make a cookie themselves (raw_tp; tp_btf
 * before 5.12): to serve a classic tracepoint the kernel fills in the record, and that generates the socket's cookie.
 */
SEC("tp/tcp/tcp_probe")
int probe_cookie(void *ctx)
{
	return 0;
}

#endif
