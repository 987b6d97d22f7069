/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tcp:tcp_receive_reset: the peer's RST ends the connection. */
#ifndef __TCC_RESET_RECEIVED_BPF_H__
#define __TCC_RESET_RECEIVED_BPF_H__

#include "kernel.h"
#include "event.h"
#include "observe.bpf.h"
#include "events/socket.bpf.h"

static __noinline int on_reset_received(void *ctx, struct sock *sk, const bool typed)
{
	struct tcc_reset_received *rec;
	struct event e;

	if (!event_filter(&e, sk, NULL, TCC_EVENT_RESET_RECEIVED, typed))
		return 0;
	if (AGGREGATES(RESET_RECEIVED))
		observe_count(&e, TCC_OBSERVE_RESETS_RECEIVED, 1);
	rec = event_record(&e, 0, TCC_EVENT_RESET_RECEIVED, sizeof(*rec));
	if (rec)
		emit_end(ctx, e.n, rec, sizeof(*rec), TCC_EVENT_RESET_RECEIVED);
	copies_release();
	return 0;
}

#endif
