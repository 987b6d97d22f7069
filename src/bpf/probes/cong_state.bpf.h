/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tcp:tcp_cong_state_set (5.19, 9ad084d66619): the sender's recovery state changes. The socket still holds the old one. */
#ifndef __TCC_CONG_STATE_BPF_H__
#define __TCC_CONG_STATE_BPF_H__

/* One that is not shown ends a state, too. */
static __always_inline void cong_state_passed(struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct conn *conn = cfg.track_conn ? bpf_map_lookup_elem(&conns, &key) : NULL;

	if (conn && conn->ca_state_ns)
		conn->ca_state_ns = bpf_ktime_get_ns();
}

static __always_inline int on_cong_state(void *ctx, struct sock *sk, __u8 ca_state, const bool typed)
{
	struct tcc_cong_state *rec;
	struct event e;

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
