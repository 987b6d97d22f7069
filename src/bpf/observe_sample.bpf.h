/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Distributions of what a connection has when a packet arrives, for `observe`. */
#ifndef __TCC_OBSERVE_SAMPLE_BPF_H__
#define __TCC_OBSERVE_SAMPLE_BPF_H__

#include "kernel.h"
#include "event.h"
#include "summary.h"
#include "maps.bpf.h"
#include "key.bpf.h"
#include "histogram.bpf.h"

#define KBIT_S(bytes_per_second) ((bytes_per_second) / 125)

static __noinline int observe_value(struct tcc_key *key, __u32 which, __u64 value, bool known)
{
	key->value = which;
	return histogram_count(key, known, value < ~0U ? value : ~0U);
}

/* tcp_compute_delivery_rate(); 0: not known. What the application has limited is no rate of the path. */
static __always_inline __u64 observe_delivery_rate(struct tcp_sock *tp)
{
	__u32 interval_us = tp->rate_interval_us;

	if (!interval_us || BPF_CORE_READ_BITFIELD(tp, rate_app_limited))
		return 0;
	return (__u64)tp->rate_delivered * tp->mss_cache * 1000000 / interval_us;
}

#define OBSERVES(value) (cfg.values & 1U << TCC_VALUE_##value)
#define OBSERVE_VALUE(which, value, known)                                                \
	do {                                                                              \
		if (OBSERVES(which))                                                      \
			own &= observe_value(&key, TCC_VALUE_##which, value, known);      \
	} while (0)

/* False: a value found no row of its own. */
static __always_inline bool observe_sample(const struct tcc_head *head, struct sock *sk, struct tcp_sock *tp, const struct conn *conn,
					   const bool typed)
{
	struct tcc_key key = {};
	__u64 rate, bytes;
	bool own = true;

	load_key(&key, head, sk, tp, conn, typed, true);
	OBSERVE_VALUE(SRTT, tp->srtt_us >> 3, tp->srtt_us >> 3);
	OBSERVE_VALUE(MIN_RTT, tp->rtt_min.s[0].v, tp->rtt_min.s[0].v != ~0U);
	OBSERVE_VALUE(CWND, tp->snd_cwnd, true);
	OBSERVE_VALUE(IN_FLIGHT, tp->packets_out - tp->sacked_out - tp->lost_out + tp->retrans_out, true);
	if (OBSERVES(DELIVERY_RATE)) {
		rate = observe_delivery_rate(tp);
		own &= observe_value(&key, TCC_VALUE_DELIVERY_RATE, KBIT_S(rate), rate != 0);
	}
	if (OBSERVES(PACING_RATE)) {
		bytes = sk->sk_pacing_rate;
		own &= observe_value(&key, TCC_VALUE_PACING_RATE, KBIT_S(bytes), bytes && bytes != ~0UL);
	}
	OBSERVE_VALUE(UNSENT, tp->write_seq - tp->snd_nxt, true);
	return own;
}

#endif
