/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * skb->tc_index: what our programs tell each other of a packet that the host's stack has in
 * between. Nobody inside a container or outside can forge it: from_container and
 * from_uplink, where packets come in, clear it first.
 *
 *	MARK_FORWARDED        sent to an uplink by a program of ours; to_uplink lets it
 *	                      pass at the price of one comparison
 *	MARK_ASKED and more   left to the stack for netfilter to judge, under the generation
 *	                      of the rules that the other bits tell; see netfilter.h. Queues
 *	                      may hold a packet, while a neighbour is looked for, until the
 *	                      rules that it passed are history.
 */
#pragma once

#include "kernel.h"

#define MARK_FORWARDED 0xfa17
#define MARK_ASKED 0x4000
#define MARK_ASKED_MASK 0xc000

_Static_assert((MARK_FORWARDED & MARK_ASKED_MASK) != MARK_ASKED, "marks");

static __always_inline void mark_clear(struct __sk_buff *ctx)
{
	ctx->tc_index = 0;
}

static __always_inline void mark_forwarded(struct __sk_buff *ctx)
{
	ctx->tc_index = MARK_FORWARDED;
}

static __always_inline bool is_forwarded(const struct __sk_buff *ctx)
{
	return ctx->tc_index == MARK_FORWARDED;
}

static __always_inline __u16 asked_mark(__u16 generation)
{
	return MARK_ASKED | (generation & (__u16)~MARK_ASKED_MASK);
}

static __always_inline void mark_asked(struct __sk_buff *ctx, __u16 generation)
{
	ctx->tc_index = asked_mark(generation);
}

static __always_inline bool was_asked(const struct __sk_buff *ctx)
{
	return (ctx->tc_index & MARK_ASKED_MASK) == MARK_ASKED;
}

static __always_inline bool was_asked_under(const struct __sk_buff *ctx, __u16 generation)
{
	return ctx->tc_index == asked_mark(generation);
}
