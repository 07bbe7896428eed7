/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sending packets on: into a container, out of an uplink, or back with an ICMP error. */
#pragma once

#include "frag.h"
#include "icmp_reply.h"
#include "leg.h"
#include "marks.h"
#include "nat.h"
#include "netfilter.h"

/* What apply_route() says beside verdicts. */
#define LEG_FOUND (-6)

/*
 * Into the container, past the host's stack and the veth's egress. The packet
 * type was decided by the host side's MAC, or by the uplink's: the container
 * would drop what isn't PACKET_HOST.
 */
static __always_inline int deliver(struct __sk_buff *ctx, const struct endpoint *ep, __u32 slot)
{
	count_receive(ctx, slot);
	if (ctx->pkt_type != PACKET_HOST)
		bpf_skb_change_type(ctx, PACKET_HOST);
	return bpf_redirect_peer(ep->ifindex, 0);
}

/* The MACs of a leg that are known. */
static __always_inline struct macs macs_of(const struct leg *leg)
{
	if (!leg->has_macs)
		return (struct macs){};
	return (struct macs){ .dst = leg->mac.mac, .src = leg->own_mac.mac };
}

/*
 * Out of an uplink; the MACs that are known are written. The neighbour layer writes those that
 * aren't, and queues while it resolves.
 */
static __always_inline int forward(struct __sk_buff *ctx, struct leg *leg)
{
	mark_forwarded(ctx);
	if (!leg->has_macs)
		return bpf_redirect_neigh(leg->oif, &leg->neigh, sizeof(leg->neigh), 0);
	return bpf_redirect(leg->oif, 0);
}

/*
 * A flow whose route isn't an uplink's any more. The stack carries it another way, or
 * refuses it with the ICMP error that fits. Where the address has become the host's own
 * the flow is over, and the next packet is for the policy of new ones.
 */
static __always_inline int apply_rerouted(bool v6, const struct packet *p, __u16 zone,
					  enum route_result route)
{
	bool own = host_addr(v6, p->daddr);

	if (own)
		flow_forget(v6, p, zone);
	return own || route == ROUTE_NONE ? dropped(DROP_NO_ROUTE) : NEXT;
}

/* Finds the way out of the host. NEXT if the stack has to, LEG_FOUND if there is one. */
static __always_inline int apply_route(struct __sk_buff *ctx, bool v6, const struct packet *p,
				       struct flow *f, __u16 zone, struct leg *leg)
{
	enum route_result route = find_leg(ctx, v6, p, f, leg);

	if (route == ROUTE_NARROW) {
		/* At a service's own address the stack would take it for the host's. */
		if (p->flags & PKT_DONT_FRAGMENT || host_addr(v6, p->daddr))
			return reply_too_big(ctx, PROG_FROM_CONTAINER, v6, f->mtu);
		/* The stack fragments it, and to_uplink translates the pieces. */
		return NEXT;
	}
	return route == ROUTE_UPLINK ? LEG_FOUND : apply_rerouted(v6, p, zone, route);
}

/* The program where packets of the zone come in. */
static __always_inline enum program program_of(__u16 zone)
{
	return zone == ZONE_WORLD ? PROG_FROM_UPLINK : PROG_FROM_CONTAINER;
}

/* Does with a packet what its flow says. ep is the flow's endpoint. */
static __always_inline int apply(struct __sk_buff *ctx, bool v6, const struct packet *p,
				 struct flow *f, __u16 zone, const struct endpoint *ep)
{
	struct macs macs = {};
	struct network *net;
	struct leg leg;
	int action;

	if (!ep)
		return dropped(DROP_ENDPOINT_GONE);
	if (p->ttl <= 1)
		return reply_time_exceeded(ctx, program_of(zone), v6);
	if (first_packet && flow_crosses(f, zone) && !flow_is_settled(p, f))
		return flow_ask(ctx, v6, p, f, zone);
	if (f->action == FLOW_DELIVER) {
		net = network_at(ep->network);
		if (!net)
			return dropped(DROP_ENDPOINT_GONE);
		macs.dst = ep->mac;
		macs.src = net->gateway_mac;
	} else if (zone == ZONE_WORLD && f->action == FLOW_FORWARD) {
		return go_on_as(ctx, PROG_FROM_UPLINK, v6, CALL_RELAY);
	} else if (f->action == FLOW_FORWARD) {
		action = apply_route(ctx, v6, p, f, zone, &leg);
		if (action != LEG_FOUND)
			return action;
		macs = macs_of(&leg);
	} else {
		return NEXT;
	}
	/* One call for both, for the size of programs. */
	if (flow_rewrite(ctx, v6, p, f, &macs, true))
		return dropped(DROP_REWRITE_FAILED);
	return f->action == FLOW_DELIVER ? deliver(ctx, ep, f->endpoint) : forward(ctx, &leg);
}

/* The same with a packet that may be a fragment, whose like has to find the ports. */
static __always_inline int apply_any(struct __sk_buff *ctx, bool v6, const struct packet *p,
				     struct flow *f, __u16 zone, const struct endpoint *ep)
{
	if (p->ttl > 1)
		frag_remember(v6, p, zone, f->endpoint);
	return apply(ctx, v6, p, f, zone, ep);
}

/* What the stack has routed, its TTL decremented: only translation is left. */
static __always_inline int translate(struct __sk_buff *ctx, bool v6, const struct packet *p,
				     const struct flow *f, __u16 zone)
{
	const struct macs macs = {};

	if (first_packet)
		netfilter_let_out(ctx, v6, p, zone);
	frag_remember(v6, p, zone, f->endpoint);
	if (flow_rewrite(ctx, v6, p, f, &macs, false))
		return dropped(DROP_REWRITE_FAILED);
	/* An uplink below this one (VLAN, macvlan) must not take it for the host's own. */
	mark_forwarded(ctx);
	return NEXT;
}
