/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * --where: tests of a finished record that decide whether it is submitted. The reader compiles them (src/predicate/kernel.rs).
 * They are constants to the verifier, which follows the steps of the event type and no others.
 */
#ifndef __TCC_PREDICATE_BPF_H__
#define __TCC_PREDICATE_BPF_H__

#include "kernel.h"
#include "config.h"

const volatile struct tcc_term where_terms[TCC_TERMS] = {};
/* Of each event type: its first term, counted from 1, or enum tcc_where. */
const volatile __u8 where_start[TCC_EVENT_MAX] = {};

static __always_inline bool bytes_match(const volatile struct tcc_term *term, const void *at)
{
	const __u64 *word = at;

	return !((word[0] ^ term->value[0]) & term->mask[0]) && !((word[1] ^ term->value[1]) & term->mask[1]);
}

static __always_inline bool number_matches(const volatile struct tcc_term *term, __u64 number)
{
	return (number & term->mask[0]) - term->value[0] <= term->value[1];
}

static __always_inline bool term_holds(const volatile struct tcc_term *term, const void *at)
{
	switch (term->load) {
	case TCC_LOAD_U8:
		return number_matches(term, *(const __u8 *)at);
	case TCC_LOAD_U16:
		return number_matches(term, *(const __u16 *)at);
	case TCC_LOAD_U32:
		return number_matches(term, *(const __u32 *)at);
	case TCC_LOAD_S32:
		return number_matches(term, (__s64)*(const __s32 *)at);
	case TCC_LOAD_U64:
		return number_matches(term, *(const __u64 *)at);
	default:
		return bytes_match(term, at);
	}
}

/* From term to term, always forward. */
static __noinline bool terms_hold(const void *rec, __u32 start)
{
	__u32 next = start;

	for (int i = 0; i < TCC_EVENT_TERMS; i++) {
		const volatile struct tcc_term *term;

		if (next == TCC_WHERE_YES)
			return true;
		if (next > TCC_TERMS)
			return false;
		term = &where_terms[next - 1];
		next = term_holds(term, rec + term->offset) ? term->if_true : term->if_false;
	}
	return next == TCC_WHERE_YES;
}

/* Whether the record is wanted; without --where nothing of it is left. `event_type` is a constant to the verifier. */
static __always_inline bool where_holds(const void *rec, __u32 event_type)
{
	__u8 start;

	if (event_type >= TCC_EVENT_MAX)
		return true;
	start = where_start[event_type];
	return start == TCC_WHERE_YES || (start != TCC_WHERE_NO && terms_hold(rec, start));
}

#endif
