/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How often something is done for one sender, so that what costs the host or others more than
 * it costs the sender has a bound. A container is counted by its slot. Who is outside may claim
 * any address, so those share places by a hash whose seed is the host's secret.
 */
#pragma once

#include "flow.h"

/* The index of all senders outside together. */
#define ALL_STRANGERS (MAX_ENDPOINTS + STRANGERS)

/*
 * Whether this is one more than burst within a second. Two CPUs may lose a count: the bound
 * needs to be no more exact than that.
 */
static __always_inline bool is_many(struct rate *rate, __u32 burst)
{
	__u32 now = flow_now();

	if (!rate)
		return true;
	if (now - rate->since >= touch_jiffies) {
		rate->since = now;
		rate->count = 0;
	}
	return __sync_fetch_and_add(&rate->count, 1) >= burst;
}

/* The index of whoever has the packet's source address outside. */
static __always_inline __u32 stranger(bool v6, const struct packet *p)
{
	struct share *share = the_share();
	/* Who has one IPv6 address has all of its subnet. */
	__u32 hash = mix(share ? share->seed : 0, p->saddr[0]);

	if (v6)
		hash = mix(hash, p->saddr[1]);
	return MAX_ENDPOINTS + (hash & (STRANGERS - 1));
}
