// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Empty programs on tcp:tcp_probe, or another tracepoint, to measure the cost of attaching. Only one of them is loaded at a time. */
#define SEC(name) __attribute__((section(name), used))

#ifndef TRACEPOINT
#define TRACEPOINT "tcp_probe"
#endif

#if defined(TP_BTF)
SEC("tp_btf/" TRACEPOINT)
#elif defined(RAW_TP)
SEC("raw_tp/" TRACEPOINT)
#else
SEC("tp/tcp/" TRACEPOINT)
#endif
int empty(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
