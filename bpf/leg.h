/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The way of a flow's packets out of the host: its next hop, or what the FIB says. */
#pragma once

#include "neighbour.h"

/* The slot that the name is of, and its head, or 0 if that isn't the one which was named. */
static __always_inline struct nexthop *nexthop_named(__u32 name, __u64 *head)
{
	__u32 slot = name & 0xffff;
	struct nexthop *hop = nexthop_at(slot);

	*head = hop && name ? word_at(&hop->head) : 0;
	if (nexthop_name(slot, *head) != name)
		*head = 0;
	return hop;
}

/* The way to the hop, which had this head; false if there is none any more. */
static __always_inline bool nexthop_leg(struct __sk_buff *ctx, bool v6, const struct packet *p,
					const struct flow *f, struct nexthop *hop, __u64 head,
					struct leg *leg)
{
	switch (head_of(head).kind) {
	case NEXTHOP_NEIGHBOUR:
		return neighbour_leg(ctx, v6, p, f, hop, head, leg);
	}
	return false;
}

/*
 * Asks the FIB again for a flow whose route counts as outdated, or which has no next hop. The
 * plan has the answer, too. Two CPUs may do so at once: they write the same.
 */
static __always_inline enum route_result refresh_route(struct __sk_buff *ctx, bool v6,
						       const struct packet *p, struct flow *f)
{
	struct flow_plan *plan = new_plan();
	struct endpoint *ep = endpoint_at(f->endpoint);
	struct network *net = ep ? network_at(ep->network) : NULL;
	__be32 saddr[4], daddr[4];
	enum route_result route;

	if (!net || !plan)
		return ROUTE_NONE;
	flow_route_addrs(v6, p, f, saddr, daddr);
	route = route_lookup(ctx, v6, saddr, daddr, net->bridge_ifindex, plan);
	if (route != ROUTE_UPLINK) {
		/* Each second counts it down: it mustn't come round to the present one. */
		f->route_generation = route_generation() - 1;
		return route;
	}
	f->oif = plan->oif;
	f->mtu = plan->mtu;
	f->nexthop = nexthop_of(plan, family_of(v6));
	f->route_generation = route_generation_of(plan);
	return ROUTE_UPLINK;
}

__noinline int refresh_route4(struct __sk_buff *ctx, const struct packet *p, struct flow4 *f)
{
	return p && f ? refresh_route(ctx, false, p, &f->flow) : ROUTE_NONE;
}

__noinline int refresh_route6(struct __sk_buff *ctx, const struct packet *p, struct flow6 *f)
{
	return p && f ? refresh_route(ctx, true, p, &f->flow) : ROUTE_NONE;
}

static __always_inline enum route_result refreshed(struct __sk_buff *ctx, bool v6,
						   const struct packet *p, struct flow *f)
{
	return v6 ? refresh_route6(ctx, p, (struct flow6 *)f) :
		    refresh_route4(ctx, p, (struct flow4 *)f);
}

/* linux/skbuff.h: the lengths are those of the packets in the list. */
#define GSO_BY_FRAGS 0xffff

/*
 * Whether the route is too narrow. SCTP in one piece (GSO) isn't judged: its sender
 * has cut it to the path's MTU, in lengths that no program sees, and what it sends
 * again, it sends packet by packet.
 */
static __always_inline bool is_too_big(const struct __sk_buff *ctx, const struct packet *p,
				       __u32 mtu)
{
	if (!mtu || ctx->len <= mtu + ETH_HLEN || ctx->gso_size == GSO_BY_FRAGS)
		return false;
	return segment_len(ctx, p) > mtu;
}

/*
 * How the flow's packet leaves; no way but for ROUTE_UPLINK. What the route is too narrow for
 * is told before the next hop is looked at: who is the first in a while has to reach the
 * neighbour layer.
 */
static __always_inline enum route_result find_leg(struct __sk_buff *ctx, bool v6,
						  const struct packet *p, struct flow *f,
						  struct leg *leg)
{
	__u64 head = 0;
	struct nexthop *hop = nexthop_named(f->nexthop, &head);
	bool asks = !head || f->route_generation != route_generation();
	enum route_result route = ROUTE_UPLINK;
	struct flow_plan *plan;

	if (asks) {
		route = refreshed(ctx, v6, p, f);
		hop = nexthop_named(f->nexthop, &head);
	}
	if (route != ROUTE_UPLINK)
		return route;
	if (is_too_big(ctx, p, f->mtu))
		return ROUTE_NARROW;
	if (hop && head && nexthop_leg(ctx, v6, p, f, hop, head, leg))
		return route;
	/* Given away this very moment. */
	if (!asks)
		route = refreshed(ctx, v6, p, f);
	plan = the_plan();
	if (!plan)
		return ROUTE_NONE;
	leg_by_layer(v6, leg, plan->oif, plan->nexthop);
	return route;
}
