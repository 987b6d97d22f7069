/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records of `drop`. Rules as in event.h. */
#ifndef __TCC_DROP_H__
#define __TCC_DROP_H__

#include "event.h"

/* skb:kfree_skb; without a full socket the head is made from the packet. */
struct tcc_drop {
	struct tcc_event event;
	__u64 location; /* kernel code that dropped it */
	__u32 reason; /* enum skb_drop_reason of this kernel, or above 16 bits of one of its subsystems */
	__u32 seq;
	__u32 ack_seq;
	__u32 data_len;
	__u32 skb_len;
	__u32 mark;
	__u16 tcp_flags;
	__u16 segs;
	__u8 outgoing;
	__u8 state; /* 0: no socket */
	__u8 frames; /* of the stack, where there is one */
	__u8 unused;
};

#define TCC_STACK_FRAMES 64

/* With --stack. */
struct tcc_drop_stack {
	struct tcc_drop drop;
	__u64 stack[TCC_STACK_FRAMES]; /* return addresses, innermost first; beyond drop.frames 0 */
};

TCC_NO_PADDING(struct tcc_drop, unused);
TCC_NO_PADDING(struct tcc_drop_stack, stack);

#endif
