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

/* Asks the FIB if the flow's route is outdated, or its next hop isn't there any more. */
static __always_inline enum route_result find_route(struct __sk_buff *ctx, bool v6,
						    const struct packet *p, struct flow *f,
						    struct leg *leg)
{
	enum route_result route = ROUTE_UPLINK;

	leg->hop = nexthop_named(f->nexthop, &leg->head);
	leg->asked = !leg->head || f->route_generation != route_generation();
	if (leg->asked) {
		route = refreshed(ctx, v6, p, f);
		leg->hop = nexthop_named(f->nexthop, &leg->head);
	}
	return route;
}

/*
 * How a packet leaves whose route was found; false if there is no way. It comes last: a packet
 * that is the first in a while has to reach the neighbour layer.
 */
static __always_inline bool find_leg(struct __sk_buff *ctx, bool v6, const struct packet *p,
				     struct flow *f, struct leg *leg)
{
	struct flow_plan *plan;

	if (leg->hop && leg->head && nexthop_leg(ctx, v6, p, f, leg->hop, leg->head, leg))
		return true;
	/* Given away this very moment. */
	if (!leg->asked && refreshed(ctx, v6, p, f) != ROUTE_UPLINK)
		return false;
	plan = the_plan();
	if (!plan)
		return false;
	leg_by_layer(v6, leg, plan->oif, plan->nexthop);
	return true;
}
