/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting: every verdict leaves through count_verdict(), every drop through drop(). */
#pragma once

#include "maps.h"

/* Per-CPU, so no atomics: nothing interrupts a program on its CPU but an NMI. */
static __always_inline void count(struct counter *c, const struct __sk_buff *ctx)
{
	__u32 segments = ctx->gso_segs;

	c->packets += segments ? segments : 1;
	c->bytes += ctx->len - ETH_HLEN;
}

static __always_inline int drop(const struct __sk_buff *ctx, enum drop_reason reason,
				enum direction direction)
{
	__u32 key = reason * DIR_MAX + direction;
	struct counter *c = bpf_map_lookup_elem(&drops, &key);

	if (c)
		count(c, ctx);
	return TC_ACT_SHOT;
}

static __always_inline int count_verdict(const struct __sk_buff *ctx, enum program program,
					 int action)
{
	__u32 key = program * VERDICT_MAX;
	struct counter *c;

	if (action == TC_ACT_SHOT)
		key += VERDICT_DROP;
	else if (action == TC_ACT_REDIRECT)
		key += VERDICT_REDIRECT;
	else
		key += VERDICT_PASS;
	c = bpf_map_lookup_elem(&verdicts, &key);
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
