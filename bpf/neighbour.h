/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Next hops' MAC addresses, remembered for an eighth of a second, so that most packets
 * leave an uplink without a visit to the neighbour layer, which costs about as much as
 * all that the program does otherwise.
 *
 * The layer stays in charge: the first packet in each such time takes its way, which
 * keeps the neighbour in use and has it probed when it is due. What the FIB says of
 * the MAC then counts until the time is over; so changes of it, and its loss, are
 * followed with the daemon dead too.
 *
 * Each CPU has slots of its own, so that nobody reads what another is writing. Two
 * next hops may share a slot: one of them has it, the other one's packets take the
 * layer's way.
 */
#pragma once

#include "route.h"

static __always_inline __u16 family_of(bool v6)
{
	return v6 ? AF_INET6 : AF_INET;
}

static __always_inline bool neighbour_is_fresh(const struct neighbour *n)
{
	return flow_now() - n->asked < touch_jiffies / 8;
}

static __always_inline void flow_nexthop(bool v6, const struct flow *f, __be32 *nexthop)
{
	__builtin_memset(nexthop, 0, 16);
	if (v6)
		addr6_copy(nexthop, ((const struct flow6 *)f)->nexthop);
	else
		nexthop[0] = ((const struct flow4 *)f)->nexthop;
}

static __always_inline struct neighbour *neighbour_slot(__u32 oif, const __be32 *nexthop)
{
	/* 2^32 over the golden ratio spreads what differs in few bits. */
	const __u32 golden = 0x9e3779b1;
	__u32 slot = ((nexthop[0] ^ nexthop[1] ^ nexthop[2] ^ nexthop[3]) + oif) * golden;

	slot = slot >> (32 - NEIGHBOUR_BITS);
	return bpf_map_lookup_elem(&neighbours, &slot);
}

/* Looks the flow's route up once more, this time with the neighbour. */
static __always_inline bool neighbour_lookup(struct __sk_buff *ctx, bool v6, const struct packet *p,
					     const struct flow *f, const __be32 *nexthop,
					     struct neighbour *n)
{
	struct bpf_fib_lookup *fib = new_fib_lookup();
	struct endpoint *ep = endpoint_at(f->endpoint);
	struct network *net = ep ? network_at(ep->network) : NULL;
	__be32 saddr[4], daddr[4];

	if (!net || !fib)
		return false;
	flow_route_addrs(v6, p, f, saddr, daddr);
	route_query(fib, v6, saddr, daddr, net->bridge_ifindex);
	if (bpf_fib_lookup(ctx, fib, sizeof(*fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return false;
	if (fib->ifindex != f->oif || fib->family != family_of(v6) ||
	    !addr_equal(v6, v6 ? fib->ipv6_dst : &fib->ipv4_dst, nexthop))
		return false;
	__builtin_memcpy(n->mac, fib->dmac, ETH_ALEN);
	__builtin_memcpy(n->own_mac, fib->smac, ETH_ALEN);
	return true;
}

/* Gives the slot to the flow's next hop, whose MAC may not be known. */
static __always_inline void neighbour_ask(struct __sk_buff *ctx, bool v6, const struct packet *p,
					  const struct flow *f, const __be32 *nexthop,
					  struct neighbour *n)
{
	n->asked = flow_now();
	n->oif = f->oif;
	addr6_copy(n->nexthop, nexthop);
	n->family = neighbour_lookup(ctx, v6, p, f, nexthop, n) ? family_of(v6) : 0;
}

/* The flow's next hop if its MAC is known; NULL sends the packet to the neighbour layer. */
static __always_inline const struct neighbour *neighbour_of(struct __sk_buff *ctx, bool v6,
							    const struct packet *p,
							    const struct flow *f)
{
	__be32 nexthop[4];
	struct neighbour *n;

	flow_nexthop(v6, f, nexthop);
	n = neighbour_slot(f->oif, nexthop);
	if (!n)
		return NULL;
	if (!neighbour_is_fresh(n)) {
		neighbour_ask(ctx, v6, p, f, nexthop, n);
		return NULL;
	}
	if (n->family != family_of(v6) || n->oif != f->oif || !addr6_equal(n->nexthop, nexthop))
		return NULL;
	return n;
}
