/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records of the tuning of receive buffers. Rules as in event.h. */
#ifndef __TCC_RECEIVE_H__
#define __TCC_RECEIVE_H__

#include "event.h"

/* tcp:tcp_rcv_space_adjust */
struct tcc_rcv_space {
	struct tcc_event event;
	__u32 rcv_rtt_us;
	__u32 rcv_space;
	__u32 rcv_ssthresh;
	__u32 window_clamp;
	__s32 rcvbuf;
	__s32 rmem_alloc;
};

/* tcp:tcp_rcvbuf_grow; what the buffer was before */
struct tcc_rcvbuf_grow {
	struct tcc_event event;
	__u32 time_us;
	__u32 rcv_rtt_us;
	__u32 copied;
	__u32 inq;
	__u32 rcv_space;
	__u32 ooo_space;
	__u32 rcv_ssthresh;
	__u32 window_clamp;
	__s32 rcvbuf;
	__u32 scaling_ratio;
};

TCC_NO_PADDING(struct tcc_rcv_space, rmem_alloc);
TCC_NO_PADDING(struct tcc_rcvbuf_grow, scaling_ratio);

#endif
