// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The index of the BPF side: what there is, in the order in which one part uses the other. */
#include "kernel.h"

#include "event.h"
#include "summary.h"
#include "config.h"
#include "maps.bpf.h"
#include "compat.bpf.h"
#include "emit.bpf.h"
#include "clock.bpf.h"
#include "mptcp.bpf.h"
#include "sock.bpf.h"
#include "entries.bpf.h"
#include "conn.bpf.h"
#include "filter.bpf.h"
#include "limit.bpf.h"
#include "key.bpf.h"
#include "histogram.bpf.h"
#include "sums.bpf.h"
#include "owner.bpf.h"
#include "opening.bpf.h"
#include "history.bpf.h"
#include "packet.bpf.h"

#include "events/probe.bpf.h"

#include "events/socket.bpf.h"
#include "events/state.bpf.h"
#include "events/retransmit.bpf.h"
#include "events/synack_retransmit.bpf.h"
#include "events/reset_sent.bpf.h"
#include "events/reset_received.bpf.h"
#include "events/destroy.bpf.h"
#include "events/closed.bpf.h"
#include "events/cong_state.bpf.h"
#include "events/rcv_space.bpf.h"
#include "events/rcvbuf_grow.bpf.h"
#include "events/error.bpf.h"
#include "events/connect.bpf.h"
#include "events/life.bpf.h"
#include "events/accept.bpf.h"
#include "events/listen_drop.bpf.h"

#include "conn_snapshot.bpf.h"
#include "events/drop.bpf.h"
#include "events/zero_window.bpf.h"
#include "dsack.bpf.h"
#include "events/spurious.bpf.h"
#include "events/queue.bpf.h"

#include "marks.bpf.h"
#include "hooks.bpf.h"

#include "code.bpf.h"

/* The helpers that read kernel memory are for GPL-compatible programs. */
char LICENSE[] SEC("license") = "Dual BSD/GPL";
