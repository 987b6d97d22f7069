/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tcp:tcp_sendmsg_locked (6.16): a process hands data over. It fires once for each segment that the data goes into; what counts is the
 * first after all before it was sent: there the wait for the application ends.
 */
#ifndef __TCC_SEND_BPF_H__
#define __TCC_SEND_BPF_H__

#include "kernel.h"
#include "event.h"
#include "compat.bpf.h"
#include "events/socket.bpf.h"

static __noinline int on_send(void *ctx, struct sock *sk, struct msghdr *msg, int size_goal, const bool typed)
{
	struct tcc_send *rec;
	struct event e;

	rec = event_begin(&e, sk, TCC_EVENT_SEND, sizeof(*rec), typed);
	if (!rec)
		return 0;
	load_sender(&rec->sender, &e);
	rec->msg_left = FOLLOW(typed, msg, msg_iter.count);
	rec->size_goal = size_goal;
	rec->unused = 0;
	return event_end(ctx, &e, rec, sizeof(*rec), TCC_EVENT_SEND);
}

#endif
