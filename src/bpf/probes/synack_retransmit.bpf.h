/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tcp:tcp_retransmit_synack: a SYN-ACK is sent again. There is no connection yet, but a request of a listener's. */
#ifndef __TCC_SYNACK_RETRANSMIT_BPF_H__
#define __TCC_SYNACK_RETRANSMIT_BPF_H__

/* A request begins as a socket does, so its addresses are read like a socket's; the rest is not there. */
static __always_inline bool request_head(struct tcc_head *head, struct request_sock *req, struct sock *listener,
					 const bool typed)
{
	struct copies *copy = copies_claim();
	__u64 size = bpf_core_type_size(struct sock_common);
	bool ok;

	if (!copy)
		return false;
	ok = size <= sizeof(copy->sock) && !bpf_probe_read_kernel(copy->sock, size, req);
	if (ok) {
		load_head(head, (void *)copy->sock, TCC_KIND_SYNACK_RETRANSMIT,
			  sizeof(struct tcc_synack_retransmit), false);
		head->cookie = typed && cfg.cookie_helper ? bpf_get_socket_cookie(listener) :
							    BPF_CORE_READ(listener, __sk_common.skc_cookie.counter);
	}
	copies_release();
	return ok;
}

/* Counted, and no record. The cookie is not the connection's, and what else the row is of is the listener's. */
static __always_inline int synack_retransmit_sum(const struct tcc_head *head, struct sock *listener)
{
	struct tcc_key key = {};
	struct tcc_sums *row;
	struct event e;

	if (!event_admit_bare(&e, head, NULL))
		return 0;
	load_key(&key, head, listener, (void *)listener, false, false);
	row = sums_of(&key);
	if (!row) {
		COUNT(e.n, lost);
		return 0;
	}
	SUM(row, TCC_SUM_SYNACK, 1);
	SUM(row, TCC_SUM_EVENTS, 1);
	COUNT(e.n, summarised);
	return 0;
}

static __always_inline int on_synack_retransmit(void *ctx, struct sock *listener, struct request_sock *req,
						const bool typed)
{
	struct tcc_synack_retransmit *rec;
	struct tcc_head head = {};
	struct event e;

	if (!request_head(&head, req, listener, typed)) {
		event_lost(TCC_KIND_SYNACK_RETRANSMIT);
		return 0;
	}
	if (cfg.sums)
		return synack_retransmit_sum(&head, listener);
	rec = event_begin_bare(&e, &head, NULL, sizeof(*rec));
	if (!rec)
		return 0;
	rec->attempt = BPF_CORE_READ_BITFIELD_PROBED(req, num_timeout);
	rec->unused = 0;
	emit_end(ctx, e.n, rec, sizeof(*rec));
	return 0;
}

TRACEPOINT(tcp_retransmit_synack, synack_retransmit, on_synack_retransmit,
	   (struct sock *listener, struct request_sock *req), (ctx, listener, req))

#endif
