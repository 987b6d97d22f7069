/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tcp:tcp_receive_reset: the peer's RST ends the connection. */
#ifndef __TCC_RESET_RECEIVED_BPF_H__
#define __TCC_RESET_RECEIVED_BPF_H__

#include "kernel.h"
#include "event.h"
#include "events/socket.bpf.h"

static __noinline int on_reset_received(void *ctx, struct sock *sk, const bool typed)
{
	struct tcc_reset_received *rec;
	struct event e;

	rec = event_begin(&e, sk, TCC_EVENT_RESET_RECEIVED, sizeof(*rec), typed);
	if (!rec)
		return 0;
	return event_end(ctx, &e, rec, sizeof(*rec), TCC_EVENT_RESET_RECEIVED);
}

#endif
