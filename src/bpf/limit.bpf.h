/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fewer events of what the filters let through: sampling (sampled_out) and rate limits (rate_limited). */
#ifndef __TCC_LIMIT_BPF_H__
#define __TCC_LIMIT_BPF_H__

#include "kernel.h"
#include "maps.bpf.h"

/*
 * Token bucket as one word, the time at which the bucket would be empty ("virtual scheduling", ITU-T I.371): an event
 * costs `interval`, `burst` may be saved up.
 */
static __always_inline bool bucket_has(const __u64 *empty_at, __u64 now, __u64 burst)
{
	return *empty_at <= now + burst;
}

/*
 * Added, as of two CPUs that store what they have worked out one would undo what the other took. Several may find the last
 * event's worth, which is owed then; and where several find the bucket full, what one has taken may be undone. So at most two
 * more for each other CPU get through.
 */
static __always_inline void bucket_take(__u64 *empty_at, __u64 now, __u64 interval)
{
	if (*empty_at < now)
		*empty_at = now;
	__sync_fetch_and_add(empty_at, interval);
}

/* What --on-change compares with from now on. */
static __always_inline void conn_showed(struct conn *conn, __u32 snd_cwnd, __u32 snd_ssthresh, __u8 ca_state)
{
	conn->snd_cwnd = snd_cwnd;
	conn->snd_ssthresh = snd_ssthresh;
	conn->ca_state = ca_state;
}

/* Every Nth of a connection, beginning with its first; at most one per interval; only where something moved. */
static __always_inline bool pass_sampling(struct conn *conn, __u64 now, __u32 snd_cwnd, __u32 snd_ssthresh,
					  __u8 ca_state)
{
	if (cfg.on_change && conn->count && conn->snd_cwnd == snd_cwnd && conn->snd_ssthresh == snd_ssthresh &&
	    conn->ca_state == ca_state)
		return false;
	if (cfg.sample > 1) {
		if (conn->count++ % cfg.sample) {
			/* Of changes it is every Nth. */
			conn_showed(conn, snd_cwnd, snd_ssthresh, ca_state);
			return false;
		}
	} else {
		conn->count = 1;
	}
	/* What comes too soon is shown later, if it is still so. */
	return !cfg.every_ns || !conn->emitted_ns || now - conn->emitted_ns >= cfg.every_ns;
}

static __always_inline bool pass_rate(struct conn *conn, __u64 now)
{
	const bool of_conn = cfg.conn_rate_interval_ns && conn;
	__u32 zero = 0;
	__u64 *bucket;

	/* Neither bucket pays for what the other one refuses. */
	if (of_conn && !bucket_has(&conn->bucket_ns, now, cfg.conn_rate_burst_ns))
		return false;
	if (cfg.rate_interval_ns) {
		bucket = bpf_map_lookup_elem(&rate_bucket, &zero);
		if (bucket && !bucket_has(bucket, now, cfg.rate_burst_ns))
			return false;
		if (bucket)
			bucket_take(bucket, now, cfg.rate_interval_ns);
	}
	if (of_conn)
		bucket_take(&conn->bucket_ns, now, cfg.conn_rate_interval_ns);
	return true;
}

#endif
