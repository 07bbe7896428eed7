/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How a program ends. What it decides is a tc or XDP action or dropped(why), in one int,
 * because functions that the verifier looks at alone can return no more. Every program
 * leaves by one exit, leave() or its like for XDP, where both are counted.
 */
#pragma once

#include "maps.h"

/* Per-CPU, so no atomics: nothing interrupts a program on its CPU but an NMI. */
static __always_inline void add(struct counter *c, __u32 packets, __u32 bytes)
{
	c->packets += packets;
	c->bytes += bytes;
}

static __always_inline void count(struct counter *c, const struct __sk_buff *ctx)
{
	__u32 segments = ctx->gso_segs;

	add(c, segments ? segments : 1, ctx->len - ETH_HLEN);
}

static __always_inline struct counter *drop_counter(enum drop_reason reason,
						    enum direction direction)
{
	__u32 key = reason * DIR_MAX + direction;

	return bpf_map_lookup_elem(&drops, &key);
}

static __always_inline struct counter *verdict_counter(enum program program, enum verdict verdict)
{
	__u32 key = program * VERDICT_MAX + verdict;

	return bpf_map_lookup_elem(&verdicts, &key);
}

/* Greater than any action; the reason comes on top. */
#define DROPPED 0x100

static __always_inline int dropped(enum drop_reason reason)
{
	return DROPPED + reason;
}

/* Why a program drops the packet, DROP_NONE if it doesn't. */
static __always_inline enum drop_reason reason_of(int outcome)
{
	return outcome > DROPPED ? outcome - DROPPED : DROP_NONE;
}

/* Which way packets go where the program is. */
static __always_inline enum direction direction_of(enum program program)
{
	return program == PROG_FROM_CONTAINER || program == PROG_TO_UPLINK ? DIR_TRANSMIT :
									     DIR_RECEIVE;
}

static __always_inline enum verdict verdict_of(int action)
{
	if (action == TC_ACT_SHOT)
		return VERDICT_DROP;
	return action == TC_ACT_REDIRECT ? VERDICT_REDIRECT : VERDICT_PASS;
}

/* The exit of a program on packets: counts what became of this one, and says it to tc. */
static __always_inline int leave(const struct __sk_buff *ctx, enum program program, int outcome)
{
	enum drop_reason reason = reason_of(outcome);
	int action = reason ? TC_ACT_SHOT : outcome;
	struct counter *c;

	if (reason) {
		c = drop_counter(reason, direction_of(program));
		if (c)
			count(c, ctx);
	}
	c = verdict_counter(program, verdict_of(action));
	if (c)
		count(c, ctx);
	return action;
}

static __always_inline void count_receive(const struct __sk_buff *ctx, __u32 endpoint)
{
	struct endpoint_counters *c = bpf_map_lookup_elem(&endpoint_stats, &endpoint);

	if (c)
		count(&c->receive, ctx);
}

static __always_inline void count_transmit(const struct __sk_buff *ctx, __u32 endpoint)
{
	struct endpoint_counters *c = bpf_map_lookup_elem(&endpoint_stats, &endpoint);

	if (c)
		count(&c->transmit, ctx);
}
