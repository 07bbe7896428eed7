/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Next hops: where flows go that leave the host. An entry of the flow table names one in a
 * word, by its slot in the table and the slot's generation. What there is to know of it, its
 * kind above all, is in the table: another kind is nothing new to flows.
 *
 * Programs give the slots out. A hop is in one of a few places that follow from a hash, and
 * nobody frees its slot: where no flow has asked for it in a while, it is given to another
 * hop. That changes the generation, and a flow that still names the earlier one asks the
 * FIB again. Whatever sends a packet somewhere has the generation in the same word, or is
 * looked at between two looks at the generation; so no packet takes another hop's way, at
 * whatever moment the slot is given away.
 *
 * A hop that finds no place loses nothing but time: each packet asks the FIB, and leaves by
 * the neighbour layer.
 */
#pragma once

#include "plan.h"

static __always_inline __u16 family_of(bool v6)
{
	return v6 ? AF_INET6 : AF_INET;
}

_Static_assert(sizeof(struct nexthop_head) == sizeof(__u64), "nexthop_head");
_Static_assert(sizeof(struct nexthop_mac) == sizeof(__u64), "nexthop_mac");

/* A head or a MAC as it is now. */
static __always_inline __u64 word_at(const void *at)
{
	return *(const volatile __u64 *)at;
}

static __always_inline void set_word(void *at, __u64 word)
{
	*(volatile __u64 *)at = word;
}

static __always_inline struct nexthop_head head_of(__u64 word)
{
	struct nexthop_head head;

	__builtin_memcpy(&head, &word, sizeof(head));
	return head;
}

static __always_inline __u64 word_of_head(__u32 oif, __u16 generation, enum nexthop_kind kind,
					  __u8 family)
{
	const struct nexthop_head head = { oif, generation, kind, family };
	__u64 word;

	__builtin_memcpy(&word, &head, sizeof(word));
	return word;
}

static __always_inline struct nexthop_mac mac_of(__u64 word)
{
	struct nexthop_mac mac;

	__builtin_memcpy(&mac, &word, sizeof(mac));
	return mac;
}

static __always_inline __u64 word_of_mac(const __u8 *addr, __u16 generation)
{
	struct nexthop_mac mac = { .generation = generation };
	__u64 word;

	__builtin_memcpy(mac.mac, addr, ETH_ALEN);
	__builtin_memcpy(&word, &mac, sizeof(word));
	return word;
}

/* Changes the head if it is still that one. A full barrier. */
static __always_inline bool change_head(struct nexthop *hop, __u64 from, __u64 to)
{
	return __sync_val_compare_and_swap((__u64 *)&hop->head, from, to) == from;
}

/* Whether the slot is still that hop's: what was read before belongs to it. */
static __always_inline bool nexthop_has(struct nexthop *hop, __u64 head)
{
	return change_head(hop, head, head);
}

/* The name that flows have for the hop. */
static __always_inline __u32 nexthop_name(__u32 slot, __u64 head)
{
	return slot | (__u32)head_of(head).generation << 16;
}

static __always_inline struct nexthop *nexthop_at(__u32 slot)
{
	slot &= NEXTHOPS - 1;
	return bpf_map_lookup_elem(&nexthops, &slot);
}

static __always_inline __u32 nexthop_hash(const struct flow_plan *plan)
{
	struct share *share = the_share();
	__u32 hash = mix(share ? share->seed : 0, plan->oif);
	int i;

#pragma clang loop unroll(full)
	for (i = 0; i < 4; i++)
		hash = mix(hash, plan->nexthop[i]);
	return hash >> (32 - NEXTHOP_BITS);
}

static __always_inline bool nexthop_is(const struct nexthop *hop, __u64 head,
				       const struct flow_plan *plan, __u8 family)
{
	return head_of(head).kind == NEXTHOP_NEIGHBOUR && head_of(head).oif == plan->oif &&
	       head_of(head).family == family && addr6_equal(hop->addr, plan->nexthop);
}

/* Whether the MAC of the hop that has the head is known. */
static __always_inline bool nexthop_has_mac(const struct nexthop *hop, __u64 head)
{
	return mac_of(word_at(&hop->mac)).generation == head_of(head).generation;
}

/* Notes that a flow goes there. Who tries dead neighbours again and again keeps no place. */
static __always_inline void nexthop_use(struct nexthop *hop, __u64 head, __u32 now)
{
	if (now - hop->used >= touch_jiffies && nexthop_has_mac(hop, head))
		hop->used = now;
}

/* How long nobody has asked for a hop that another one may take the place of. */
#define NEXTHOP_IDLE_SECONDS 8

/*
 * Whether the slot may be given to another hop. Flows that have packets ask once a second.
 * A hop without a MAC is worth little: who tries many addresses keeps nobody out by them.
 */
static __always_inline bool nexthop_is_spare(const struct nexthop *hop, __u64 head, __u32 now)
{
	/* Another CPU may have noted it later than now. */
	__s32 idle = now - hop->used;

	if (!head)
		return true;
	/* Another CPU is giving it away. */
	if (head_of(head).kind == NEXTHOP_NONE)
		return false;
	if (idle >= (__s32)(NEXTHOP_IDLE_SECONDS * touch_jiffies))
		return true;
	return idle >= (__s32)(2 * touch_jiffies) && !nexthop_has_mac(hop, head);
}

/* Gives the slot to the plan's hop. Its name, or 0 if another CPU was faster. */
static __always_inline __u32 nexthop_take(struct nexthop *hop, __u32 slot, __u64 head,
					  const struct flow_plan *plan, __u8 family, __u32 now)
{
	__u16 generation = head_of(head).generation + 1;
	__u64 begun, whole;

	/* A name is never 0. */
	if (!generation)
		generation = 1;
	begun = word_of_head(plan->oif, generation, NEXTHOP_NONE, family);
	whole = word_of_head(plan->oif, generation, NEXTHOP_NEIGHBOUR, family);
	if (!change_head(hop, head, begun))
		return 0;
	set_word(&hop->mac, 0);
	set_word(&hop->own_mac, 0);
	addr6_copy(hop->addr, plan->nexthop);
	hop->used = now;
	hop->asked = now - touch_jiffies;
	change_head(hop, begun, whole);
	return nexthop_name(slot, whole);
}

/*
 * The name of the plan's next hop, an uplink's neighbour, which gets a slot if it has none. 0
 * if there is no place. Slots once used are never empty again, so none of it is behind an
 * empty one.
 */
__noinline int nexthop_of(const struct flow_plan *plan, __u32 family)
{
	__u32 first, slot, now = flow_now();
	struct nexthop *hop;
	__u64 head;
	int i;

	if (!plan)
		return 0;
	first = nexthop_hash(plan);
	for (i = 0; i < NEXTHOP_PLACES; i++) {
		slot = (first + i) & (NEXTHOPS - 1);
		hop = nexthop_at(slot);
		if (!hop)
			return 0;
		head = word_at(&hop->head);
		if (!head)
			break;
		/* Twice, since it may have been given away between the head and the address. */
		if (nexthop_is(hop, head, plan, family) && nexthop_has(hop, head) &&
		    nexthop_is(hop, head, plan, family)) {
			nexthop_use(hop, head, now);
			return nexthop_name(slot, head);
		}
	}
	for (i = 0; i < NEXTHOP_PLACES; i++) {
		slot = (first + i) & (NEXTHOPS - 1);
		hop = nexthop_at(slot);
		if (!hop)
			return 0;
		head = word_at(&hop->head);
		if (nexthop_is_spare(hop, head, now))
			return nexthop_take(hop, slot, head, plan, family, now);
	}
	return 0;
}
