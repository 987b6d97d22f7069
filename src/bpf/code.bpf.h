/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The names of the kernel's code, for a reader to whom /proc/kallsyms hides where they begin (kptr_restrict). It needs the
 * addresses to find a name, and shows names only. */
#ifndef __TCC_CODE_BPF_H__
#define __TCC_CODE_BPF_H__

#include "kernel.h"

/* A line as /proc/kallsyms has it. The iterator knows the address whatever it would show to the process itself. */
SEC("iter/ksym")
int code_iter(struct bpf_iter__ksym *ctx)
{
	struct kallsym_iter *symbol = ctx->ksym;
	char type;

	if (!symbol)
		return 0;
	type = symbol->type;
	if (type == 't' || type == 'T' || type == 'w' || type == 'W')
		BPF_SEQ_PRINTF(ctx->meta->seq, "%lx %c %s\n", symbol->value, type, symbol->name);
	return 0;
}

#endif
