// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Empty programs on tcp:tcp_probe, to measure the cost of attaching. Only one of them is loaded at a time. */
#define SEC(name) __attribute__((section(name), used))

#if defined(TP_BTF)
SEC("tp_btf/tcp_probe")
#elif defined(RAW_TP)
SEC("raw_tp/tcp_probe")
#else
SEC("tp/tcp/tcp_probe")
#endif
int empty(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
