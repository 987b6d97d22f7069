/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* All records, of event.h and of the headers beside it. */
#ifndef __TCC_RECORD_H__
#define __TCC_RECORD_H__

#include "event.h"
#include "probe.h"
#include "receive.h"
#include "lifecycle.h"
#include "drop.h"
#include "inferred.h"
#include "limits.h"

/* Every record type: makes them part of the object's BTF, and sizes the scratch space of the perf buffer path. */
union tcc_record {
	struct tcc_probe probe;
	struct tcc_probe_full probe_full;
	struct tcc_state state;
	struct tcc_retransmit retransmit;
	struct tcc_synack_retransmit synack_retransmit;
	struct tcc_reset_sent reset_sent;
	struct tcc_reset_received reset_received;
	struct tcc_destroy destroy;
	struct tcc_cong_state cong_state;
	struct tcc_rcv_space rcv_space;
	struct tcc_rcvbuf_grow rcvbuf_grow;
	struct tcc_error error;
	struct tcc_connect connect;
	struct tcc_life life;
	struct tcc_accept accept;
	struct tcc_drop drop;
	struct tcc_drop_stack drop_stack;
	struct tcc_zero_window zero_window;
	struct tcc_spurious spurious;
	struct tcc_queue queue;
	struct tcc_listen_drop listen_drop;
	struct tcc_send send;
	struct tcc_limits_snapshot limits_snapshot;
	enum tcc_retransmit_class retransmit_class;
	enum tcc_outcome outcome;
	enum tcc_end end;
	enum tcc_closed_by closed_by;
	enum tcc_head_flag head_flag;
	enum tcc_presence presence;
	enum tcc_field_group field_group;
};

#endif
