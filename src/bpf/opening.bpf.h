/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How long opening a connection took, by what the kernel itself has of it: when the first SYN or SYN-ACK was sent. What
 * it has not is 0, and null in the records.
 */
#ifndef __TCC_OPENING_BPF_H__
#define __TCC_OPENING_BPF_H__

#include "kernel.h"
#include "maps.bpf.h"
#include "compat.bpf.h"
#include "sock.bpf.h"
#include "entries.bpf.h"
#include "owner.bpf.h"

#define US_PER_MS 1000
#define NS_PER_MS 1000000

/* A request begins as a socket does. */
static __always_inline struct synack_key synack_key(struct sock *sk)
{
	struct synack_key key = { .local = listener_key(sk) };

	if (is_ipv6(BPF_CORE_READ(sk, __sk_common.skc_family)))
		BPF_CORE_READ_INTO(&key.daddr, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
	else
		ipv4_mapped(key.daddr, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	key.dport = BPF_CORE_READ(sk, __sk_common.skc_dport);
	return key;
}

static __noinline int on_synack_time(struct request_sock *req)
{
	struct synack_key key = synack_key((void *)req);
	__u64 sent_us = BPF_CORE_READ((struct tcp_request_sock *)req, snt_synack);

	if (sent_us)
		entry_replace(synacks, &key, &sent_us);
	return 0;
}

/*
 * A new connection is a copy of its listener. As it enters its first state its queue of sent packets has not been made anew
 * yet: the empty list points to its own head, which is the listener's. The listener's options are not in the copy any more
 * on some kernels, so they are read there.
 */
static __always_inline struct sock *copied_from(struct sock *sk)
{
	void *head = BPF_CORE_READ((struct tcp_sock *)sk, tsorted_sent_queue.next);
	struct sock *listener = head - bpf_core_field_offset(struct tcp_sock, tsorted_sent_queue);

	if (!head || listener == sk || BPF_CORE_READ(listener, __sk_common.skc_state) != TCP_LISTEN)
		return NULL;
	return listener;
}

/* Where the listener is not found it may be one that waits for data. */
static __always_inline bool listener_defers(struct sock *sk)
{
	struct inet_connection_sock *listener = (void *)copied_from(sk);

	return !listener || BPF_CORE_READ(listener, icsk_accept_queue.rskq_defer_accept);
}

/*
 * With a SYN cookie the kernel keeps no request, so its first RTT sample is whole milliseconds since the timestamp that the
 * peer echoes. That one holds the connection's options in its low bits (cookie_init_timestamp) and is up to 63 ms older
 * than the SYN-ACK. A real sample looks the same once in 32 000.
 */
static __always_inline bool is_by_cookie(struct tcp_sock *tp, __u32 rtt_us)
{
	__u32 options = TS_OPT_WSCALE_MASK;

	if (rtt_us % US_PER_MS)
		return false;
	if (BPF_CORE_READ_BITFIELD_PROBED(tp, rx_opt.wscale_ok))
		options = BPF_CORE_READ_BITFIELD_PROBED(tp, rx_opt.snd_wscale);
	if (BPF_CORE_READ_BITFIELD_PROBED(tp, rx_opt.sack_ok))
		options |= TS_OPT_SACK;
	return (BPF_CORE_READ(tp, rx_opt.rcv_tsecr) & (TS_OPT_WSCALE_MASK | TS_OPT_SACK)) == options;
}

/* Of a handshake in which the SYN-ACK was sent once. */
static __always_inline __u32 first_rtt_us(struct sock *sk)
{
	struct tcp_sock *tp = (void *)sk;
	__u32 rtt_us = BPF_CORE_READ(tp, srtt_us) >> 3;

	return is_by_cookie(tp, rtt_us) ? 0 : rtt_us;
}

/*
 * A passive socket is made when the handshake is over (but for TCP Fast Open), so its SYN-ACK's time is the kernel's own: its
 * first RTT sample, where it was sent once, and what the request had, where it was sent again. Where the listener waits for
 * data, both last until these come, and the kernel keeps no time of the ACK before them.
 */
static __always_inline __u32 passive_handshake_us(const struct conn *conn, struct sock *sk, __u64 now)
{
	struct tcp_sock *tp = (void *)sk;
	struct synack_key key;
	__u64 *sent_us;
	__u32 took_us;

	if (!BPF_CORE_READ(tp, total_retrans))
		return conn->deferred ? 0 : first_rtt_us(sk);
	key = synack_key(sk);
	sent_us = bpf_map_lookup_elem(&synacks, &key);
	if (!sent_us)
		return 0;
	took_us = now / 1000 - *sent_us;
	entry_delete(synacks, &key);
	return conn->deferred ? 0 : took_us;
}

/*
 * When the first SYN was sent: by connect(), at once, unless TCP_FASTOPEN_CONNECT makes it wait for the first data. Until the
 * handshake is over nothing else is sent, so that the time of the last departure is the SYN's; where it was sent again, see
 * below. 0: not seen, or there was none.
 */
static __always_inline __u64 syn_sent_ns(const struct conn *conn, struct sock *sk)
{
	struct tcp_sock *tp = (void *)sk;
	__u64 sent_ns;

	if (!conn || !conn->opened_ns)
		return 0;
	if (!BPF_CORE_READ_BITFIELD_PROBED(tp, fastopen_connect))
		return conn->opened_ns;
	if (BPF_CORE_READ(tp, total_retrans))
		return conn->syn_ns;
	sent_ns = BPF_CORE_READ(tp, tcp_wstamp_ns);
	return sent_ns >= conn->opened_ns ? sent_ns : 0;
}

static __always_inline bool has_usec_ts(struct tcp_sock *tp)
{
	return bpf_core_field_exists(tp->tcp_usec_ts) && BPF_CORE_READ_BITFIELD_PROBED(tp, tcp_usec_ts);
}

/* The kernel keeps when it sent the first SYN (retrans_stamp) until that is acknowledged: as a timestamp, so in ms. */
static __noinline int on_syn_again(struct sock *sk, const bool typed)
{
	__u64 key = (__u64)sk, now = bpf_ktime_get_ns(), ago_ns;
	struct tcp_sock *tp = (void *)sk;
	struct conn *conn;
	__u32 stamp;

	if (FOLLOW(typed, sk, __sk_common.skc_state) != TCP_SYN_SENT ||
	    !BPF_CORE_READ_BITFIELD_PROBED(tp, fastopen_connect))
		return 0;
	conn = bpf_map_lookup_elem(&conns, &key);
	if (!conn || conn->syn_ns)
		return 0;
	stamp = BPF_CORE_READ(tp, retrans_stamp);
	if (has_usec_ts(tp))
		ago_ns = (__u32)(now / 1000 - stamp) * 1000ULL;
	else
		ago_ns = (__u32)(now / NS_PER_MS - stamp) * (__u64)NS_PER_MS;
	conn->syn_ns = now - ago_ns > conn->opened_ns ? now - ago_ns : conn->opened_ns;
	return 0;
}

#endif
