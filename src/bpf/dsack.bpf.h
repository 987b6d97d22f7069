/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The D-SACK (RFC 2883) of a packet: which data the peer got twice. The kernel counts it and keeps no range, so it is
 * read from the packet, and distinguished from a SACK by the rule of tcp_check_dsack().
 */
#ifndef __TCC_DSACK_BPF_H__
#define __TCC_DSACK_BPF_H__

#include "kernel.h"
#include "packet.bpf.h"

/* Linux sends SACK as the sixth at most: NOP, NOP, timestamps, NOP, NOP, SACK. */
#define TCC_MAX_OPTIONS 10

struct sack_block {
	__be32 start_seq;
	__be32 end_seq;
};

struct dsack {
	__u32 seq;
	__u32 end_seq;
};

static __always_inline void sack_first(struct dsack *out, const void *at, __u32 len, __u32 ack)
{
	struct sack_block block[2] = {};
	__u32 seq, end_seq;

	if (len < TCPOLEN_SACK_BASE + TCPOLEN_SACK_PERBLOCK || bpf_probe_read_kernel(&block[0], sizeof(block[0]), at))
		return;
	seq = bpf_ntohl(block[0].start_seq);
	end_seq = bpf_ntohl(block[0].end_seq);
	if (!after(ack, seq)) {
		if (len < TCPOLEN_SACK_BASE + 2 * TCPOLEN_SACK_PERBLOCK ||
		    bpf_probe_read_kernel(&block[1], sizeof(block[1]), at + sizeof(block[0])))
			return;
		if (after(end_seq, bpf_ntohl(block[1].end_seq)) || after(bpf_ntohl(block[1].start_seq), seq))
			return;
	}
	out->seq = seq;
	out->end_seq = end_seq;
}

/* Both are 0 where there is none. */
static __always_inline void load_dsack(struct dsack *out, const void *data)
{
	struct {
		__u8 event_type;
		__u8 len;
	} option;
	struct tcp_header th;
	__u32 at = TCP_LEN, end;
	int i;

	out->seq = 0;
	out->end_seq = 0;
	if (!read_tcp_header(&th, data))
		return;
	end = tcp_header_len(&th);
	for (i = 0; i < TCC_MAX_OPTIONS && at + TCPOLEN_SACK_BASE <= end; i++) {
		if (bpf_probe_read_kernel(&option, sizeof(option), data + at) || option.event_type == TCPOPT_EOL)
			return;
		if (option.event_type == TCPOPT_SACK)
			return sack_first(out, data + at + TCPOLEN_SACK_BASE, option.len, bpf_ntohl(th.ack_seq));
		at += option.event_type == TCPOPT_NOP ? 1 : option.len;
	}
}

#endif
