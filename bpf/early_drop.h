/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Room for new connections where the table is full of half-open ones, as a flood
 * leaves it: the oldest of the connections opened last that isn't established gives
 * way (netfilter's early_drop() does the like). That is TCP without a handshake, and
 * anything else that is no more than a question and its answer. What is established
 * is never given up, nor what an endpoint is sure of (share.h).
 *
 * A ring holds the keys of the connections opened last, a quarter of what the
 * table has room for. It is looked at only while the table is full, or was some
 * seconds ago, from the oldest on, and again from there when it has come to the newest: some
 * that were established may be so no more. Each connection that is established meanwhile
 * brings that nearer to the newest, a quarter of which isn't given up within a second of its
 * last packet, so that there is time for a handshake.
 * A half-open connection can be given up from when the ring has come round; a
 * published one goes on all the same with the next packet of its client
 * (continues_connection).
 */
#pragma once

#include "flow.h"

/*
 * For so long after the table was full, who opens a connection makes room first.
 * What met the full table is sent again within it (TCP: after 1 and 3 seconds).
 */
#define PRESSURE_SECONDS 10

/* How many of the oldest are looked at for one packet. */
#define EARLY_DROP_TRIES 16

static __always_inline struct pressure *pressure_of(bool v6)
{
	__u32 family = v6;

	return bpf_map_lookup_elem(&pressures, &family);
}

/* The table had no room. */
static __always_inline void pressure_begin(bool v6)
{
	struct pressure *pr = pressure_of(v6);

	if (pr)
		pr->until = flow_now() + PRESSURE_SECONDS * touch_jiffies;
}

static __always_inline bool under_pressure(bool v6)
{
	struct pressure *pr = pressure_of(v6);

	if (!pr || !pr->until)
		return false;
	if (pr->until - flow_now() - 1 < PRESSURE_SECONDS * touch_jiffies)
		return true;
	/* Jiffies come round: what is over must not begin again. */
	pr->until = 0;
	return false;
}

static __always_inline void remember4(const struct flow4_key *key)
{
	struct pressure *pr = pressure_of(false);
	struct flow4_key *slot;
	__u32 at;

	if (!pr)
		return;
	at = __sync_fetch_and_add(&pr->next, 1) & recent_mask;
	slot = bpf_map_lookup_elem(&recent4, &at);
	if (slot)
		__builtin_memcpy(slot, key, sizeof(*key));
}

static __always_inline void remember6(const struct flow6_key *key)
{
	struct pressure *pr = pressure_of(true);
	struct flow6_key *slot;
	__u32 at;

	if (!pr)
		return;
	at = __sync_fetch_and_add(&pr->next, 1) & recent_mask;
	slot = bpf_map_lookup_elem(&recent6, &at);
	if (slot)
		__builtin_memcpy(slot, key, sizeof(*key));
}

/*
 * Whether a connection may be given up: nobody answered, or it was reset, or its
 * beginner hasn't shown that the answer reached it.
 */
static __always_inline bool is_half_open(struct flow *f, struct flow *twin, __u8 proto)
{
	if (!(f->flags & FLOW_ORIGIN))
		return false;
	if (!twin || !(twin->state & FLOW_SEEN))
		return true;
	if (proto != IPPROTO_TCP)
		return !flow_is_assured(f, twin);
	return !(f->state & FLOW_ACK) || (f->state | twin->state) & FLOW_RST;
}

/* Gives the connection up that opened under this key, if it may be. */
static __always_inline bool give_up(bool v6, const union flow_key *key, bool recent)
{
	struct flow *f = bpf_map_lookup_elem(flow_table(v6), key), *twin;
	union flow_key twin_key;
	__u32 seen;

	if (!f)
		return false;
	/* Before the judgement, so that a packet which comes meanwhile saves it. */
	seen = f->last_seen;
	if (recent && flow_now() - seen < touch_jiffies)
		return false;
	flow_twin_key(v6, &twin_key, f, key);
	twin = bpf_map_lookup_elem(flow_table(v6), &twin_key);
	if (!is_half_open(f, twin, v6 ? key->v6.proto : key->v4.proto) ||
	    flows_are_sure(v6, (twin ? twin : f)->endpoint) || !flow_condemn(f, seen))
		return false;
	flow_remove(v6, key, f);
	return true;
}

/* The key is copied: another CPU may write the ring's slot meanwhile. */
static __always_inline bool give_up_at(bool v6, __u32 at, bool recent)
{
	union flow_key key;

	if (v6) {
		struct flow6_key *slot = bpf_map_lookup_elem(&recent6, &at);

		if (!slot)
			return false;
		key.v6 = *slot;
	} else {
		struct flow4_key *slot = bpf_map_lookup_elem(&recent4, &at);

		if (!slot)
			return false;
		key.v4 = *slot;
	}
	return give_up(v6, &key, recent);
}

static __always_inline int early_drop(bool v6)
{
	struct pressure *pr = pressure_of(v6);
	int i;

	if (!pr)
		return false;
	for (i = 0; i < EARLY_DROP_TRIES; i++) {
		__u32 at = pr->oldest, next = pr->next;

		if (at == next || next - at > recent_mask + 1)
			at = next - recent_mask - 1;
		/* Two CPUs may take the same: only one of them can condemn it. */
		pr->oldest = at + 1;
		if (give_up_at(v6, at & recent_mask, next - at <= (recent_mask + 1) / 4)) {
			__sync_fetch_and_add(&pr->early_dropped, 1);
			return true;
		}
	}
	return false;
}

__noinline int early_drop4(void)
{
	return early_drop(false);
}

__noinline int early_drop6(void)
{
	return early_drop(true);
}

/* Before a connection is opened. */
static __always_inline void make_room(bool v6)
{
	if (!under_pressure(v6))
		return;
	if (v6)
		early_drop6();
	else
		early_drop4();
}
