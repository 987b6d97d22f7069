// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The index of the BPF side: what there is, in the order in which one part uses the other. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>

#include "event.h"
#include "summary.h"
#include "config.h"
#include "maps.bpf.h"
#include "compat.bpf.h"
#include "emit.bpf.h"
#include "clock.bpf.h"
#include "mptcp.bpf.h"
#include "sock.bpf.h"
#include "memory.bpf.h"
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

#include "probes/probe.bpf.h"

#include "probes/socket.bpf.h"
#include "probes/state.bpf.h"
#include "probes/retransmit.bpf.h"
#include "probes/synack_retransmit.bpf.h"
#include "probes/reset_sent.bpf.h"
#include "probes/reset_received.bpf.h"
#include "probes/destroy.bpf.h"
#include "probes/closed.bpf.h"
#include "probes/cong_state.bpf.h"
#include "probes/rcv_space.bpf.h"
#include "probes/rcvbuf_grow.bpf.h"
#include "probes/error.bpf.h"
#include "probes/connect.bpf.h"
#include "probes/life.bpf.h"
#include "probes/accept.bpf.h"
#include "probes/listen_drop.bpf.h"

#include "flow.bpf.h"
#include "probes/drop.bpf.h"
#include "probes/zero_window.bpf.h"
#include "dsack.bpf.h"
#include "probes/verdict.bpf.h"
#include "probes/queue.bpf.h"

#include "code.bpf.h"

/* The helpers that read kernel memory are for GPL-compatible programs. */
char LICENSE[] SEC("license") = "Dual BSD/GPL";
