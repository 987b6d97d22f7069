/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tcp:tcp_cong_state_set (5.19, 9ad084d66619): the sender's recovery state changes. The socket still holds the old one. */
#ifndef __TCC_CONG_STATE_BPF_H__
#define __TCC_CONG_STATE_BPF_H__

/* One that is not shown ends a state, too. */
static __always_inline void cong_state_passed(struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct conn *conn = cfg.track_conn ? bpf_map_lookup_elem(&conns, &key) : NULL;

	if (conn && (conn->ca_state_ns || cfg.sums))
		conn->ca_state_ns = bpf_ktime_get_ns();
	if (cfg.sums)
		bpf_map_delete_elem(&dwelling, &key);
}

static __always_inline void dwelling_over(struct tcc_sums *row, const struct tcc_dwelling *running, __u64 now)
{
	if (row && running->ca_state < TCC_SUM_CHANGES && now > running->since_ns)
		SUM(row, running->ca_state, now - running->since_ns);
}

/*
 * Added up, and no record. A connection's time belongs to the row that its first change has found: at its end the socket
 * does not know its ends any more. Before that its state was Open, from its beginning on, if that was seen.
 */
static __always_inline int cong_state_sum(struct sock *sk, __u8 ca_state, const bool typed)
{
	struct tcc_dwelling next = {}, *running;
	__u64 addr = (__u64)sk, now;
	struct tcc_sums *row;
	struct tcc_head head;
	struct event e;

	if (!event_admit(&e, &head, sk, NULL, TCC_KIND_CONG_STATE, sizeof(struct tcc_cong_state), typed)) {
		cong_state_passed(sk);
		return 0;
	}
	now = head.mono_ns;
	running = bpf_map_lookup_elem(&dwelling, &addr);
	if (running) {
		next = *running;
	} else {
		load_key(&next.key, &head, e.sk, e.tp, false, true);
		next.ca_state = load_ca_state(e.tp);
		if (e.conn)
			next.since_ns = e.conn->ca_state_ns > e.conn->opened_ns ? e.conn->ca_state_ns : e.conn->opened_ns;
	}
	row = sums_of(&next.key);
	if (!row) {
		cong_state_passed(sk);
		return event_summed(&e, false);
	}
	if (next.since_ns)
		dwelling_over(row, &next, now);
	else
		SUM(row, TCC_SUM_UNKNOWN, 1);
	SUM(row, TCC_SUM_CHANGES, 1);
	if (head.cookie)
		row->cookie = head.cookie;
	if (e.conn)
		e.conn->ca_state_ns = now;
	next.since_ns = now;
	next.ca_state = ca_state;
	bpf_map_update_elem(&dwelling, &addr, &next, BPF_ANY);
	return event_summed(&e, true);
}

/* The last state ends with the connection. */
static __always_inline int on_dwelling_end(struct sock *sk, const bool typed)
{
	struct tcc_dwelling *running;
	__u64 addr = (__u64)sk;

	running = bpf_map_lookup_elem(&dwelling, &addr);
	if (!running)
		return 0;
	dwelling_over(sums_of(&running->key), running, bpf_ktime_get_ns());
	bpf_map_delete_elem(&dwelling, &addr);
	return 0;
}

TRACEPOINT(tcp_destroy_sock, dwelling_end, on_dwelling_end, (struct sock *sk), (sk))

static __always_inline int on_cong_state(void *ctx, struct sock *sk, __u8 ca_state, const bool typed)
{
	struct tcc_cong_state *rec;
	struct event e;

	if (cfg.sums)
		return cong_state_sum(sk, ca_state, typed);
	rec = event_begin(&e, sk, TCC_KIND_CONG_STATE, sizeof(*rec), typed);
	if (!rec) {
		cong_state_passed(sk);
		return 0;
	}
	rec->old_ca_state_ns = e.conn ? lap(&e.conn->ca_state_ns, rec->event.head.mono_ns) : 0;
	rec->prior_cwnd = e.tp->prior_cwnd;
	rec->prior_ssthresh = e.tp->prior_ssthresh;
	rec->old_ca_state = rec->event.tcp.ca_state;
	rec->new_ca_state = ca_state;
	__builtin_memset(rec->unused, 0, sizeof(rec->unused));
	return event_end(ctx, &e, rec, sizeof(*rec));
}

TRACEPOINT(tcp_cong_state_set, cong_state, on_cong_state, (struct sock *sk, __u8 ca_state), (ctx, sk, ca_state))

#endif
