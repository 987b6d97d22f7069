// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* All programs: those of the hooks and of what they include, and those that the reader runs itself. */
#include "kernel.h"
#include "clock.bpf.h"
#include "hooks.bpf.h"
#include "code.bpf.h"

/* The helpers that read kernel memory are for GPL-compatible programs. */
char LICENSE[] SEC("license") = "Dual BSD/GPL";
