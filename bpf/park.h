/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How programs come to park.bpf.c: with a later fragment that came before its first one, and
 * with a first one that others may wait for.
 */
#pragma once

#include "calls.h"
#include "frag.h"

/* What a look at a packet says beside verdicts: it is to wait, or a copy of it. */
#define PARK (-4)
#define PARK_COPY (-5)

/* A copy waits and the packet itself passes, where the host may be meant as well. */
static __always_inline int go_on_parking(struct __sk_buff *ctx, enum program program, bool v6,
					 bool passes)
{
	struct scratch *s = scratch();

	if (s)
		s->parking.outcome = passes ? NEXT : dropped(DROP_FRAGMENT);
	return go_on_as(ctx, program, v6, CALL_PARK);
}

/* The exit of programs that may have noted a first fragment's ports. */
static __always_inline int leave_first(struct __sk_buff *ctx, enum program program, bool v6,
				       int outcome)
{
	struct scratch *s = scratch();

	if (s && is_first_fragment(&s->packet) && s->parking.awaited) {
		s->parking.awaited = false;
		s->parking.outcome = outcome;
		outcome = go_on_as(ctx, program, v6, CALL_UNPARK);
	}
	return leave(ctx, program, outcome);
}
