/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The programs of a tracepoint: of both flavours, alone on their CPU, and with a second one behind where runs are skipped. */
#ifndef __TCC_PROGRAMS_BPF_H__
#define __TCC_PROGRAMS_BPF_H__

#include "kernel.h"
#include "config.h"
#include "maps.bpf.h"
#include "compat.bpf.h"
#include "emit.bpf.h"
#include "marks.bpf.h"

/*
 * NAME_btf (tp_btf), in which the verifier knows the arguments' types, and NAME_raw (raw_tp), in which it does not: see
 * compat.bpf.h. Parameters and arguments each stand in parentheses. `matters` tells which runs have anything to do.
 */
#define PROGRAM(tracepoint, parameters, arguments) PROGRAM_WHERE(tracepoint, parameters, arguments, ___always)
#define PROGRAM_WHERE(tracepoint, parameters, arguments, matters)                                        \
	BOTH_FLAVOURS(tracepoint, tracepoint, parameters, arguments, matters)
#define BOTH_FLAVOURS(tracepoint, name, parameters, arguments, matters)                                  \
	SEC("tp_btf/" #tracepoint)                                                                       \
	int BPF_PROG(name##_btf, ___unwrap parameters)                                                   \
	{                                                                                                \
		if (!matters(___unwrap arguments, true))                                                 \
			return 0;                                                                        \
		preemption_off();                                                                        \
		run_##name(___unwrap arguments, true);                                                   \
		preemption_on();                                                                         \
		return 0;                                                                                \
	}                                                                                                \
	SEC("raw_tp/" #tracepoint)                                                                       \
	int BPF_PROG(name##_raw, ___unwrap parameters)                                                   \
	{                                                                                                \
		if (!matters(___unwrap arguments, false))                                                \
			return 0;                                                                        \
		preemption_off();                                                                        \
		run_##name(___unwrap arguments, false);                                                  \
		preemption_on();                                                                         \
		return 0;                                                                                \
	}
#define ___always(...) true
#define ___unwrap(...) __VA_ARGS__

/*
 * A program at a classic tracepoint. It returns 1: for 0 the kernel would keep the event from all perf events, also those of others
 * (perf_trace_run_bpf_submit()). Thus its own perf event is counted as well, on the one CPU on which libbpf opens it.
 */
#define CLASSIC_PROGRAM(section, name, context)                                                          \
	SEC("tp/" section)                                                                               \
	int name(context *ctx)                                                                           \
	{                                                                                                \
		run_##name(ctx);                                                                         \
		return 1;                                                                                \
	}

/* The same by the bare arguments, where their number differs between kernels, or the verifier knows that one may be NULL. */
#define PROGRAM_BARE(tracepoint)                                                                         \
	SEC("tp_btf/" #tracepoint)                                                                       \
	int tracepoint##_btf(unsigned long long *args)                                                   \
	{                                                                                                \
		preemption_off();                                                                        \
		run_##tracepoint(args, true);                                                            \
		preemption_on();                                                                         \
		return 0;                                                                                \
	}                                                                                                \
	SEC("raw_tp/" #tracepoint)                                                                       \
	int tracepoint##_raw(unsigned long long *args)                                                   \
	{                                                                                                \
		preemption_off();                                                                        \
		run_##tracepoint(args, false);                                                           \
		preemption_on();                                                                         \
		return 0;                                                                                \
	}

/*
 * With a second program behind each, which calls the first for the runs that the kernel has skipped it for; see marks.bpf.h. `mark`
 * makes what distinguishes a run from the others of its tracepoint. One of the parameters is `sk`.
 */
#define PROGRAM_WITH_FALLBACK(tracepoint, parameters, arguments, mark)                                  \
	FIRST_PROGRAM(tracepoint##_first);                                                               \
	RUN_FIRST("tp_btf/" #tracepoint, tracepoint, tracepoint, _btf, parameters, arguments, mark, true)                \
	RUN_FIRST("raw_tp/" #tracepoint, tracepoint, tracepoint, _raw, parameters, arguments, mark, false)               \
	RUN_SKIPPED("tp_btf/" #tracepoint, tracepoint, tracepoint##_fallback_btf, parameters, arguments, mark, true)     \
	RUN_SKIPPED("raw_tp/" #tracepoint, tracepoint, tracepoint##_fallback_raw, parameters, arguments, mark, false)
#define RUN_FIRST(section, tracepoint, name, flavour, parameters, arguments, mark, typed)               \
	SEC(section)                                                                                     \
	int BPF_PROG(name##flavour, ___unwrap parameters)                                                \
	{                                                                                                \
		struct tcc_cpu *cpu = this_cpu();                                                        \
		bool called = false, mine = true;                                                        \
                                                                                                         \
		if (!cpu)                                                                                \
			return 0;                                                                        \
		if (cfg.skips_nested) {                                                                  \
			struct tcc_marks *marks = &cpu->marks[TCC_HOOK_##tracepoint];                    \
			struct tcc_mark own = mark(___unwrap arguments, typed);                          \
                                                                                                         \
			called = is_called(ctx, marks, own, &tracepoint##_first);                        \
			mine = called || leave_mark(marks, TCC_HOOK_##tracepoint, sk, own, typed);       \
			called = unknown(called) & 1;                                                    \
		}                                                                                        \
		if (!mine)                                                                               \
			return 0;                                                                        \
		preemption_off();                                                                        \
		run_##name(cpu, ___unwrap arguments, typed, called);                                     \
		preemption_on();                                                                         \
		return 0;                                                                                \
	}
#define RUN_SKIPPED(section, tracepoint, name, parameters, arguments, mark, typed)                      \
	SEC(section)                                                                                     \
	int BPF_PROG(name, ___unwrap parameters)                                                         \
	{                                                                                                \
		struct tcc_cpu *cpu = this_cpu();                                                        \
		struct tcc_mark own = mark(___unwrap arguments, typed);                                  \
		struct tcc_marks *marks;                                                                 \
                                                                                                         \
		if (!cpu)                                                                                \
			return 0;                                                                        \
		marks = &cpu->marks[TCC_HOOK_##tracepoint];                                              \
		if (!take_mark(marks, TCC_HOOK_##tracepoint, sk, own, typed))                            \
			run_skipped(ctx, marks, own, &tracepoint##_first);                               \
		return 0;                                                                                \
	}

/*
 * The same with run_NAME_lean(), which has only the handlers that most traces need. What the constants leave out of a program costs the
 * kernel nothing when it runs, but much when it is loaded. src/loader/plan/programs.rs says which handlers these are.
 */
#define LEAN_PROGRAM(tracepoint, parameters, arguments, matters)                                         \
	BOTH_FLAVOURS(tracepoint, tracepoint##_lean, parameters, arguments, matters)
#define LEAN_PROGRAM_WITH_FALLBACK(tracepoint, parameters, arguments, mark)                              \
	RUN_FIRST("tp_btf/" #tracepoint, tracepoint, tracepoint##_lean, _btf, parameters, arguments, mark, true)         \
	RUN_FIRST("raw_tp/" #tracepoint, tracepoint, tracepoint##_lean, _raw, parameters, arguments, mark, false)

#endif
