/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tcp:tcp_send_reset: we send a RST, in answer to a packet (skb) or by ourselves (no skb).
 *
 * Since 6.10 (19822a980e19) there is a reason, and it fires where no socket is to be found, too: then `sk` is NULL. It may
 * also be a TIME_WAIT or request socket, which has little more than addresses; those come from the packet then.
 */
#ifndef __TCC_RESET_SENT_BPF_H__
#define __TCC_RESET_SENT_BPF_H__

/* Both headers' beginnings. What came from the peer is answered by us: its destination is our side. */
static __always_inline bool head_of_packet(struct tcc_head *head, struct sk_buff *skb)
{
	unsigned char *at = BPF_CORE_READ(skb, head);
	__u8 ip[40];
	__be16 ports[2];

	if (bpf_probe_read_kernel(ip, sizeof(ip), at + BPF_CORE_READ(skb, network_header)) ||
	    bpf_probe_read_kernel(ports, sizeof(ports), at + BPF_CORE_READ(skb, transport_header)))
		return false;
	if (ip[0] >> 4 == 4) {
		mapped(head->daddr, *(__be32 *)(ip + 12));
		mapped(head->saddr, *(__be32 *)(ip + 16));
	} else {
		__builtin_memcpy(head->daddr, ip + 8, 16);
		__builtin_memcpy(head->saddr, ip + 24, 16);
	}
	head->dport = bpf_ntohs(ports[0]);
	head->sport = bpf_ntohs(ports[1]);
	return true;
}

static __always_inline void load_reset(struct tcc_reset_sent *rec, __u32 reason, __u8 state)
{
	rec->reason = reason;
	rec->state = state;
	rec->has_reason = bpf_core_field_exists(((struct trace_event_raw_tcp_send_reset *)0)->reason);
	rec->unused[0] = 0;
	rec->unused[1] = 0;
}

static __always_inline int on_reset_sent(void *ctx, struct sock *sk, struct sk_buff *skb, __u32 reason, const bool typed)
{
	struct tcc_head head = { .kind = TCC_KIND_RESET_SENT, .len = sizeof(struct tcc_reset_sent) };
	struct tcc_reset_sent *rec;
	struct event e;
	__u8 state = 0;

	if (sk) {
		state = BPF_CORE_READ(sk, __sk_common.skc_state);
		if (is_full(state)) {
			rec = event_begin(&e, sk, TCC_KIND_RESET_SENT, sizeof(*rec), typed);
			if (!rec)
				return 0;
			load_reset(rec, reason, state);
			return event_end(ctx, &e, rec, sizeof(*rec));
		}
	}
	head.mono_ns = bpf_ktime_get_ns();
	head.full = cfg.full;
	if (!skb || !head_of_packet(&head, skb)) {
		event_lost(TCC_KIND_RESET_SENT);
		return 0;
	}
	rec = event_begin_bare(&e, &head, NULL, sizeof(*rec));
	if (!rec)
		return 0;
	load_reset(rec, reason, state);
	emit_end(ctx, e.n, rec, sizeof(*rec));
	return 0;
}

static __always_inline __u32 reset_reason(unsigned long long *args)
{
	return bpf_core_field_exists(((struct trace_event_raw_tcp_send_reset *)0)->reason) ? args[2] : 0;
}

SEC("tp_btf/tcp_send_reset")
int reset_sent_btf(unsigned long long *args)
{
	return on_reset_sent(args, (void *)args[0], (void *)args[1], reset_reason(args), true);
}

SEC("raw_tp/tcp_send_reset")
int reset_sent_raw(unsigned long long *args)
{
	return on_reset_sent(args, (void *)args[0], (void *)args[1], reset_reason(args), false);
}

#endif
