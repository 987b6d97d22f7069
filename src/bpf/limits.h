/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `limits`: where the time of a connection goes. Rules as in event.h. */
#ifndef __TCC_LIMITS_H__
#define __TCC_LIMITS_H__

#include "event.h"

/* What a sender waits for. docs/limits.md explains each; the order is that of the columns. */
enum tcc_cause {
	TCC_CAUSE_HANDSHAKE,
	TCC_CAUSE_IDLE,
	TCC_CAUSE_APPLICATION,
	TCC_CAUSE_SNDBUF, /* from here on data is waiting or on its way, and what is acknowledged is counted */
	TCC_CAUSE_RWND,
	TCC_CAUSE_ZERO_WINDOW,
	TCC_CAUSE_PACING_CAP,
	TCC_CAUSE_PACING,
	TCC_CAUSE_LOCAL_QUEUE,
	TCC_CAUSE_SLOW_START,
	TCC_CAUSE_CWND,
	TCC_CAUSE_PATH, /* up to here */
	TCC_CAUSE_RECOVERY,
	TCC_CAUSE_RTO,
	TCC_CAUSE_UNDECIDED,
	TCC_CAUSES,
};

#define TCC_ACKED_CAUSES (TCC_CAUSE_PATH - TCC_CAUSE_SNDBUF + 1)

/* A `cut` is a time, and in its lowest bits a cause. */
#define TCC_CUT_BITS 4

/* Short times are kept in ticks of 4.096 us: 32 bits of them wrap after five hours. */
#define TCC_TICK_BITS 12

/*
 * A connection's account. `ns` adds up to t0_ns - begin_ns, at any time and to the nanosecond; a copy that was made during an update does
 * not, and is recognised by that.
 */
struct tcc_limits {
	__u64 ns[TCC_CAUSES];
	__u64 acked[TCC_ACKED_CAUSES]; /* bytes that were acknowledged in intervals of that cause */
	__u64 begin_ns;
	__u64 t0_ns; /* end of the last interval */
	/*
	 * Written by the reader alone: it has reported the time from t0_ns until then, of that cause, and so it stays. Older than t0_ns:
	 * none.
	 */
	__u64 cut;
	__u64 ca_ops; /* the algorithm that `bbr` is about */
	__s32 idle_ns; /* time that was observed and is in neither the kernel's busy time nor in IDLE: see limits_idle() */
	__u32 busy; /* the kernel's busy time when that was last updated; jiffies */
	__u32 queue_since_tick; /* since when the RTT has been above the smallest; 0: it is not */
	__u32 queue_tick; /* when these were last seen; 0: never */
	__u32 tsq_tick;
	__u32 cap_tick;
	__u32 floor_tick; /* start of the present window of the RTT's floor */
	__u32 floor_us; /* smallest RTT in it */
	__u32 floor_before_us; /* and in the one before */
	__u32 snd_una; /* as of t0_ns */
	__u32 run_tick; /* since when `cause` is the same */
	/* Evidence. */
	__u32 longest_rto; /* ticks */
	__u32 longest_zero_window;
	__u32 rtos;
	__u32 tlps;
	__u32 recoveries;
	__u32 zero_windows;
	__u32 idles;
	__u32 writes; /* waits for the application */
	__u32 rwnd; /* the window that last limited it */
	__u32 sndbuf; /* bytes in flight when the send buffer last limited it */
	__u32 queued; /* bytes of memory on this host when a local queue last limited it */
	__u32 next; /* the cause of the interval that is being accounted; the verifier does not know what it loads from a map */
	__u8 cause; /* of the last interval */
	__u8 bbr;
	__u8 ended; /* nothing is left to send */
	__u8 held; /* where tcp_probe is silent: the cause after the last event, and 1 */
};

/* A connection's account with what a reader needs to explain it. */
struct tcc_limits_snapshot {
	struct tcc_event event;
	struct tcc_limits limits;
	__u64 sk;
	__u64 pacing_rate;
	__u64 max_pacing_rate;
	__u64 busy_us; /* as in struct tcp_info, as are the next two */
	__u64 rwnd_limited_us;
	__u64 sndbuf_limited_us;
	__u32 mss;
	__u32 min_rtt_us;
	__u32 max_window;
	__u32 sndbuf;
	__u8 snd_wscale; /* 255: no window scaling */
	__u8 closed; /* the connection's last */
	__u8 unused[6];
	__u8 ca_name[TCC_CA_NAME_LEN];
};

TCC_NO_PADDING(struct tcc_limits, held);
TCC_NO_PADDING(struct tcc_limits_snapshot, ca_name);
_Static_assert(sizeof(struct tcc_limits) <= 320, "an account is too large");

#endif
