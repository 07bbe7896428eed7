/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting: every verdict leaves through count_verdict(), every drop through drop(). */
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

static __always_inline int drop(const struct __sk_buff *ctx, enum drop_reason reason,
				enum direction direction)
{
	struct counter *c = drop_counter(reason, direction);

	if (c)
		count(c, ctx);
	return TC_ACT_SHOT;
}

static __always_inline enum verdict verdict_of(int action)
{
	if (action == TC_ACT_SHOT)
		return VERDICT_DROP;
	return action == TC_ACT_REDIRECT ? VERDICT_REDIRECT : VERDICT_PASS;
}

static __always_inline int count_verdict(const struct __sk_buff *ctx, enum program program,
					 int action)
{
	struct counter *c = verdict_counter(program, verdict_of(action));

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
