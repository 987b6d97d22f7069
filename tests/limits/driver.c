/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The rules of `limits`, compiled for the host: takes steps from standard input, and writes the account after each. */
#include "limits_rules.h"

extern long read(int fd, void *to, unsigned long size);
extern long write(int fd, const void *from, unsigned long size);

struct step {
	struct limits_sock sock;
	__u64 cut; /* 0: the reader has cut nothing */
	__u32 jiffy_ns;
	__u8 rto;
	__u8 begin; /* a new account */
	__u8 bbr;
	__u8 held;
};

struct result {
	__u64 ns[TCC_CAUSES];
	__u64 acked[TCC_ACKED_CAUSES];
	__u64 begin_ns;
	__u64 t0_ns;
	__u64 cause;
	__u64 evidence[8];
};

static _Bool fill(void *to, unsigned long size)
{
	for (unsigned long at = 0; at < size;) {
		long got = read(0, (char *)to + at, size - at);

		if (got <= 0)
			return 0;
		at += got;
	}
	return 1;
}

int main(void)
{
	struct tcc_limits limits = {};
	struct result result;
	struct step step;

	while (fill(&step, sizeof(step))) {
		if (step.begin) {
			limits = (struct tcc_limits){
				.begin_ns = step.sock.now_ns,
				.t0_ns = step.sock.now_ns,
				.snd_una = step.sock.snd_una,
			};
		} else {
			limits.bbr = step.bbr;
			limits.held = step.held;
			limits.cut = step.cut;
			limits_advance(&limits, &step.sock, step.rto, step.jiffy_ns);
		}
		result = (struct result){ .begin_ns = limits.begin_ns, .t0_ns = limits.t0_ns, .cause = limits.cause };
		result.evidence[0] = limits.longest_rto;
		result.evidence[1] = limits.longest_zero_window;
		result.evidence[2] = limits.zero_windows;
		result.evidence[3] = limits.idles;
		result.evidence[4] = limits.writes;
		result.evidence[5] = limits.rwnd;
		result.evidence[6] = limits.sndbuf;
		result.evidence[7] = limits.queued;
		for (int i = 0; i < TCC_CAUSES; i++)
			result.ns[i] = limits.ns[i];
		for (int i = 0; i < TCC_ACKED_CAUSES; i++)
			result.acked[i] = limits.acked[i];
		if (write(1, &result, sizeof(result)) != sizeof(result))
			return 1;
	}
	return 0;
}
