/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One program per tracepoint and flavour, and in each the handlers in the order in which they run: what keeps state first
 * (trackers), then the event types, and last what removes state. A handler that was not requested is a branch on a constant, which the
 * verifier removes. A handler never ends the program.
 *
 * Most handlers are functions of their own: a compiler that inlined them all would need more than the 512 bytes of stack that a
 * program has.
 */
#ifndef __TCC_HOOKS_BPF_H__
#define __TCC_HOOKS_BPF_H__

#include "kernel.h"
#include "event.h"
#include "config.h"
#include "maps.bpf.h"
#include "emit.bpf.h"
#include "conn.bpf.h"
#include "owner.bpf.h"
#include "opening.bpf.h"
#include "history.bpf.h"
#include "events/probe.bpf.h"
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
#include "limits.bpf.h"
#include "limits_snapshot.bpf.h"
#include "observe.bpf.h"
#include "observe_scan.bpf.h"
#include "events/drop.bpf.h"
#include "events/zero_window.bpf.h"
#include "events/spurious.bpf.h"
#include "events/queue.bpf.h"
#include "events/send.bpf.h"
#include "programs.bpf.h"

#define TRACKS(tracker) (cfg.trackers & TCC_TRACK_##tracker)
/* Not before the reader is there, and knows the owners of the connections that are open by then. */
#define REPORTS(type) (cfg.actions[TCC_EVENT_##type] && reader.started)

static __always_inline void run_tcp_probe_lean(struct tcc_cpu *cpu, void *ctx, struct sock *sk, struct sk_buff *skb,
					       const bool typed, const bool fallback)
{
	if (REPORTS(PROBE))
		on_probe(ctx, probe_counters(cpu, fallback), sk, skb, typed);
}

/* A packet enters tcp_rcv_established(), so the socket's values are those before it is processed. */
static __always_inline void run_tcp_probe(struct tcc_cpu *cpu, void *ctx, struct sock *sk, struct sk_buff *skb,
					  const bool typed, const bool fallback)
{
	if (TRACKS(LIMITS))
		limits_event(sk, false, typed);
	if (TRACKS(SAMPLES))
		on_conn_sample(sk, typed);
	run_tcp_probe_lean(cpu, ctx, sk, skb, typed, fallback);
	if (REPORTS(CONG_STATE) && cfg.inferred)
		on_cong_seen(ctx, sk, typed);
	if (REPORTS(ZERO_WINDOW))
		on_zero_window(ctx, sk, skb, typed);
	if (REPORTS(SPURIOUS))
		on_spurious(ctx, sk, skb, typed);
}

static __always_inline struct tcc_mark probe_mark(void *ctx, struct sock *sk, struct sk_buff *skb, const bool typed)
{
	struct tcp_skb_cb *cb = (void *)skb->cb;

	/* Another packet in the same memory has another number; where a load is cheap. */
	return (struct tcc_mark){ .key = (__u64)skb, .event = typed ? cb->end_seq : 0 };
}

PROGRAM_WITH_FALLBACK(tcp_probe, (struct sock *sk, struct sk_buff *skb), (ctx, sk, skb), probe_mark)
LEAN_PROGRAM_WITH_FALLBACK(tcp_probe, (struct sock *sk, struct sk_buff *skb), (ctx, sk, skb), probe_mark)

/* What follows a connection, for all types. */
static __always_inline void track_state(struct sock *sk, int oldstate, int newstate, const bool typed)
{
	if (TRACKS(HISTORY))
		on_conn_state(sk, unknown(oldstate), unknown(newstate), typed);
	if (TRACKS(OWNER))
		owner_set_state(sk, unknown(oldstate), unknown(newstate));
}

static __always_inline void run_inet_sock_set_state_lean(struct tcc_cpu *cpu, void *ctx, struct sock *sk, int oldstate,
							 int newstate, const bool typed, const bool fallback)
{
	if (is_tcp(sk))
		track_state(sk, oldstate, newstate, typed);
}

static __always_inline void run_inet_sock_set_state(struct tcc_cpu *cpu, void *ctx, struct sock *sk, int oldstate,
						    int newstate, const bool typed, const bool fallback)
{
	if (!is_tcp(sk))
		return;
	track_state(sk, oldstate, newstate, typed);
	if (TRACKS(SNAPSHOTS))
		on_conn_snapshot_born(ctx, sk, unknown(oldstate), unknown(newstate), typed);
	if (TRACKS(LIMITS_ENDS))
		on_limits_again(ctx, sk, unknown(oldstate), unknown(newstate), typed);
	if (TRACKS(LIMITS))
		on_limits_state(sk, unknown(oldstate), unknown(newstate), typed);
	if (TRACKS(OBSERVED))
		on_observe_begin(sk, unknown(oldstate), unknown(newstate));
	/* After what reads the ends of a socket that is used again. */
	if (TRACKS(CLOSED))
		on_closed_keep(sk, unknown(oldstate), unknown(newstate), typed);
	if (TRACKS(CA_STATE_TIME) && unknown(newstate) == TCP_CLOSE)
		on_ca_state_time_end(sk);
	if (REPORTS(STATE))
		on_state(ctx, sk, unknown(oldstate), unknown(newstate), typed);
	if (REPORTS(CONNECT))
		on_connect(ctx, sk, unknown(oldstate), unknown(newstate), typed);
	if (REPORTS(LIFE))
		on_life(ctx, sk, unknown(oldstate), unknown(newstate), typed);
	if (REPORTS(ACCEPT))
		on_accept_state(ctx, sk, unknown(newstate));
	if (REPORTS(ZERO_WINDOW))
		on_zero_window_state(ctx, sk, unknown(newstate), typed);
	if (REPORTS(LISTEN_DROP))
		on_listen_state(ctx, sk, unknown(oldstate), unknown(newstate), typed);
}

static __always_inline struct tcc_mark state_mark(void *ctx, struct sock *sk, int oldstate, int newstate, const bool typed)
{
	return (struct tcc_mark){ .key = (__u64)sk, .event = (oldstate & 0xff) << 8 | (newstate & 0xff) };
}

PROGRAM_WITH_FALLBACK(inet_sock_set_state, (struct sock *sk, int oldstate, int newstate), (ctx, sk, oldstate, newstate),
		      state_mark)
LEAN_PROGRAM_WITH_FALLBACK(inet_sock_set_state, (struct sock *sk, int oldstate, int newstate), (ctx, sk, oldstate, newstate),
			   state_mark)

static __always_inline void run_tcp_destroy_sock_lean(struct tcc_cpu *cpu, void *ctx, struct sock *sk, const bool typed,
						      const bool fallback)
{
	if (cfg.track_conn)
		conn_destroy(sk);
}

/* A connection's last event, and then the end of all that is known of it. */
static __always_inline void run_tcp_destroy_sock(struct tcc_cpu *cpu, void *ctx, struct sock *sk, const bool typed,
						 const bool fallback)
{
	if (TRACKS(CA_STATE_TIME))
		on_ca_state_time_end(sk);
	if (REPORTS(ZERO_WINDOW))
		zero_window_over(ctx, sk, ZERO_PEER | ZERO_LOCAL, typed);
	if (REPORTS(SPURIOUS))
		on_spurious_destroy(ctx, sk, typed);
	if (TRACKS(LIMITS_ENDS))
		limits_last(ctx, sk, typed);
	else if (TRACKS(SNAPSHOTS))
		on_conn_snapshot_end(ctx, sk, typed);
	else if (REPORTS(DESTROY))
		on_destroy(ctx, sk, typed);
	if (TRACKS(OBSERVED))
		on_observe_end(sk);
	if (TRACKS(LIMITS))
		limits_delete(sk);
	run_tcp_destroy_sock_lean(cpu, ctx, sk, typed, fallback);
}

static __always_inline struct tcc_mark destroy_mark(void *ctx, struct sock *sk, const bool typed)
{
	return (struct tcc_mark){ .key = (__u64)sk };
}

PROGRAM_WITH_FALLBACK(tcp_destroy_sock, (struct sock *sk), (ctx, sk), destroy_mark)
LEAN_PROGRAM_WITH_FALLBACK(tcp_destroy_sock, (struct sock *sk), (ctx, sk), destroy_mark)

static __always_inline void run_tcp_rcv_space_adjust_lean(void *ctx, struct sock *sk, const bool typed)
{
	if (TRACKS(OWNER))
		on_use(sk, typed);
}

/* A process takes received data. */
static __always_inline void run_tcp_rcv_space_adjust(void *ctx, struct sock *sk, const bool typed)
{
	run_tcp_rcv_space_adjust_lean(ctx, sk, typed);
	if (REPORTS(RCV_SPACE))
		on_rcv_space(ctx, sk, typed);
	if (REPORTS(ACCEPT))
		on_accept_used(ctx, sk);
	if (REPORTS(ZERO_WINDOW))
		on_zero_window_read(ctx, sk, typed);
}

PROGRAM(tcp_rcv_space_adjust, (struct sock *sk), (ctx, sk))
LEAN_PROGRAM(tcp_rcv_space_adjust, (struct sock *sk), (ctx, sk), ___always)

/*
 * A process hands data to send over; since 6.16, before that see request_owner_scan(). Most writes of a bulk sender find data
 * unsent, and leave before the first call of a function of the kernel, which costs more than all before it.
 */
static __always_inline bool write_matters(void *ctx, struct sock *sk, struct msghdr *msg, int size_goal, const bool typed)
{
	return all_is_sent(sk, typed) || (TRACKS(OWNER) && owner_check_due(sk, typed));
}

static __always_inline void run_tcp_sendmsg_locked_lean(void *ctx, struct sock *sk, struct msghdr *msg, int size_goal,
							const bool typed)
{
	if (TRACKS(OWNER))
		on_use(sk, typed);
}

static __always_inline void run_tcp_sendmsg_locked(void *ctx, struct sock *sk, struct msghdr *msg, int size_goal,
						   const bool typed)
{
	run_tcp_sendmsg_locked_lean(ctx, sk, msg, size_goal, typed);
	if (!all_is_sent(sk, typed))
		return;
	if (TRACKS(LIMITS))
		limits_event(sk, false, typed);
	if (REPORTS(SEND))
		on_send(ctx, sk, msg, size_goal, typed);
}

/* The packet, of which the verifier knows that it may be NULL, is not read. */
PROGRAM_WHERE(tcp_sendmsg_locked, (struct sock *sk, struct msghdr *msg, struct sk_buff *skb, int size_goal),
	      (ctx, sk, msg, size_goal), write_matters)
LEAN_PROGRAM(tcp_sendmsg_locked, (struct sock *sk, struct msghdr *msg, struct sk_buff *skb, int size_goal),
	     (ctx, sk, msg, size_goal), write_matters)

static __always_inline void run_tcp_retransmit_skb(unsigned long long *args, const bool typed)
{
	struct sock *sk = (void *)args[0];
	struct sk_buff *skb = (void *)args[1];

	if (TRACKS(LIMITS))
		on_limits_retransmit(sk, typed);
	if (TRACKS(SYN_AGAIN))
		on_syn_again(sk, typed);
	if (REPORTS(RETRANSMIT))
		on_retransmit(args, sk, skb, retransmit_err(args), typed);
	if (REPORTS(CONG_STATE) && cfg.inferred)
		on_cong_seen(args, sk, typed);
	if (REPORTS(SPURIOUS))
		on_spurious_retransmit(args, sk, skb, retransmit_err(args), typed);
}

PROGRAM_BARE(tcp_retransmit_skb)

static __always_inline void run_tcp_retransmit_synack(void *ctx, struct sock *listener, struct request_sock *req,
						      const bool typed)
{
	if (TRACKS(SYNACK_TIME))
		on_synack_time(req);
	if (REPORTS(SYNACK_RETRANSMIT))
		on_synack_retransmit(ctx, listener, req, typed);
}

PROGRAM(tcp_retransmit_synack, (struct sock *listener, struct request_sock *req), (ctx, listener, req))

static __always_inline void run_tcp_receive_reset(void *ctx, struct sock *sk, const bool typed)
{
	if (TRACKS(RESETS))
		on_conn_reset(sk);
	if (REPORTS(RESET_RECEIVED))
		on_reset_received(ctx, sk, typed);
}

PROGRAM(tcp_receive_reset, (struct sock *sk), (ctx, sk))

static __always_inline void run_tcp_send_reset(unsigned long long *args, const bool typed)
{
	if (TRACKS(RESETS))
		on_conn_reset_sent(args[0]);
	if (REPORTS(RESET_SENT))
		on_reset_sent(args, (void *)args[0], (void *)args[1], reset_reason(args), typed);
}

PROGRAM_BARE(tcp_send_reset)

static __always_inline void run_tcp_cong_state_set(void *ctx, struct sock *sk, __u8 ca_state, const bool typed)
{
	if (TRACKS(LIMITS))
		on_limits_cong_state(sk, ca_state, typed);
	if (REPORTS(CONG_STATE) && !cfg.inferred)
		on_cong_state(ctx, sk, ca_state, typed);
	if (REPORTS(SPURIOUS))
		on_spurious_state(ctx, sk, ca_state, typed);
}

PROGRAM(tcp_cong_state_set, (struct sock *sk, __u8 ca_state), (ctx, sk, ca_state))

static __always_inline void run_inet_sk_error_report(void *ctx, struct sock *sk, const bool typed)
{
	if (REPORTS(ERROR))
		on_error(ctx, sk, typed);
}

PROGRAM(inet_sk_error_report, (struct sock *sk), (ctx, sk))

static __always_inline void run_tcp_rcvbuf_grow(void *ctx, struct sock *sk, int time, const bool typed)
{
	if (REPORTS(RCVBUF_GROW))
		on_rcvbuf_grow(ctx, sk, time, typed);
}

PROGRAM(tcp_rcvbuf_grow, (struct sock *sk, int time), (ctx, sk, time))

static __always_inline void run_kfree_skb(unsigned long long *args, const bool typed)
{
	if (REPORTS(DROP))
		on_drop(args, (void *)args[0], typed);
}

PROGRAM_BARE(kfree_skb)

/* A function, so that its stack is not the program's. */
static __noinline int queue_begin(struct sk_buff *skb, const bool typed)
{
	return on_queue_begin(skb, typed);
}

/* TCP hands a packet to the device's queue. */
static __always_inline void run_net_dev_queue(void *ctx, struct sk_buff *skb, const bool typed)
{
	if (TRACKS(LIMITS))
		on_limits_queue(skb, typed);
	if (REPORTS(QUEUE))
		queue_begin(skb, typed);
}

PROGRAM(net_dev_queue, (struct sk_buff *skb), (ctx, skb))

static __always_inline void run_qdisc_enqueue(unsigned long long *args, const bool typed)
{
	if (REPORTS(QUEUE))
		on_queue_enter(args[2]);
}

PROGRAM_BARE(qdisc_enqueue)

static __always_inline void run_qdisc_dequeue(void *ctx, struct Qdisc *qdisc, struct netdev_queue *txq, const bool typed)
{
	if (REPORTS(QUEUE))
		on_queue_leave(txq, typed);
}

PROGRAM(qdisc_dequeue, (struct Qdisc *qdisc, struct netdev_queue *txq), (ctx, qdisc, txq))

/* And the device gets it. */
static __always_inline void run_net_dev_start_xmit(void *ctx, struct sk_buff *skb, struct net_device *dev, const bool typed)
{
	if (REPORTS(QUEUE))
		on_queue(ctx, skb, dev, typed);
}

PROGRAM(net_dev_start_xmit, (struct sk_buff *skb, struct net_device *dev), (ctx, skb, dev))

#endif
