/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Opening flows: one function per way in which a connection may begin. Each only plans, in
 * the scratch; a program of its own enters the flow and carries the packet (CALL_ENTER).
 */
#pragma once

#include "admit.h"
#include "forward.h"
#include "port.h"

/* What a planner says beside verdicts: the flow of the scratch's plan may be opened. */
#define OPEN (-2)

/* A TCP connection begins with SYN alone. */
static __always_inline bool begins_connection(const struct packet *p)
{
	return p->proto != IPPROTO_TCP ||
	       (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

/*
 * A connection whose translation follows from its first packet alone may also
 * be taken up in its middle: it survives the loss of the flow table.
 */
static __always_inline bool continues_connection(const struct packet *p)
{
	return p->proto == IPPROTO_TCP &&
	       (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_ACK;
}

/* What the packet's flow has become, which is brought up to date. ep is its endpoint. */
static __always_inline enum flow_fate flow_look(struct __sk_buff *ctx, bool v6,
						const struct packet *p, __u16 zone, struct flow **f,
						struct endpoint **ep)
{
	*f = flow_find(v6, p, zone);
	return *f ? flow_track(ctx, v6, p, *f, zone, ep) : FLOW_MISSING;
}

/* The same, but what the packet supersedes is forgotten, and so missing. */
static __always_inline enum flow_fate flow_follow(struct __sk_buff *ctx, bool v6,
						  const struct packet *p, __u16 zone,
						  struct flow **f, struct endpoint **ep)
{
	enum flow_fate fate = flow_look(ctx, v6, p, zone, f, ep);

	if (fate != FLOW_SUPERSEDED)
		return fate;
	return flow_forget(v6, p, zone) ? FLOW_MISSING : FLOW_LOST;
}

/* The uplink's address that shares a subnet with the next hop, else its first. */
static __always_inline bool masquerade_address(bool v6, const struct network *net,
					       struct flow_plan *plan)
{
	struct uplink *up = bpf_map_lookup_elem(&uplinks, &plan->oif);
	int i;

	if (v6) {
		addr6_load(plan->saddr, net->snat6);
		if (addr_is_zero(true, plan->saddr) && up)
			addr6_load(plan->saddr, up->v6[0].addr);
		return !addr_is_zero(true, plan->saddr);
	}
	plan->saddr[0] = net->snat4;
	if (plan->saddr[0] || !up)
		return plan->saddr[0];
	plan->saddr[0] = up->v4[0].addr;
	for (i = 0; i < UPLINK_ADDRS; i++) {
		if (up->v4[i].addr && !((up->v4[i].addr ^ plan->nexthop[0]) & up->v4[i].mask)) {
			plan->saddr[0] = up->v4[i].addr;
			break;
		}
	}
	return plan->saddr[0];
}

/* Only echo goes out and comes back; other ICMP queries reveal more than they help. */
static __always_inline bool may_leave(bool v6, const struct packet *p)
{
	return p->proto != icmp_proto(v6) || p->flags & PKT_ECHO_REQUEST;
}

/*
 * Plans a container's packet to somewhere outside: route, source address and
 * the two actions. daddr and dport are the packet's own, or a service's backend's. Returns
 * DROP_NONE, or why not.
 */
static __always_inline enum drop_reason plan_outside(struct __sk_buff *ctx, bool v6,
						     const struct packet *p, __u32 slot,
						     const struct endpoint *ep,
						     const struct network *net, const __be32 *daddr,
						     __be16 dport, enum route_result *route,
						     struct flow_plan *plan)
{
	bool masquerade = network_masquerades(net, v6);

	if (net->flags & NETWORK_INTERNAL)
		return DROP_INTERNAL;
	if (!may_leave(v6, p))
		return DROP_UNSUPPORTED;
	if (!begins_connection(p) && (masquerade || !continues_connection(p)))
		return DROP_NO_FLOW;
	*route = route_lookup(ctx, v6, p->saddr, daddr, net->bridge_ifindex, plan);
	if (*route == ROUTE_NONE)
		return DROP_NO_ROUTE;
	addr_copy(v6, plan->saddr, p->saddr);
	addr_copy(v6, plan->daddr, daddr);
	plan->dport = dport;
	plan->zone = ep->network;
	plan->twin_zone = ZONE_WORLD;
	plan->origin_endpoint = plan->reply_endpoint = slot;
	plan->origin_generation = plan->reply_generation = ep->generation;
	plan->origin_action = *route == ROUTE_UPLINK ? FLOW_FORWARD : FLOW_STACK;
	plan->reply_action = FLOW_DELIVER;
	plan->kind = masquerade ? FLOW_MASQUERADE : FLOW_ROUTED;
	if (masquerade && *route != ROUTE_LOCAL && !masquerade_address(v6, net, plan))
		return DROP_NO_ADDRESS;
	return DROP_NONE;
}

/*
 * Container to outside: masqueraded, or as it is where the network is routed; to daddr and
 * dport, which differ from the packet's where those are a service's.
 */
static __always_inline int open_outside(struct __sk_buff *ctx, bool v6, const struct packet *p,
					__u32 slot, const struct endpoint *ep,
					const struct network *net, const __be32 *daddr,
					__be16 dport)
{
	enum route_result route = ROUTE_NONE;
	struct flow_plan *plan = new_plan();
	enum drop_reason reason;

	if (!plan)
		return TC_ACT_SHOT;
	reason = plan_outside(ctx, v6, p, slot, ep, net, daddr, dport, &route, plan);
	if (!reason && route != ROUTE_UPLINK && !addr_equal(v6, daddr, p->daddr))
		reason = DROP_NO_ROUTE; /* the stack knows nothing of services */
	if (reason)
		return dropped(reason);
	/* The stack refuses it with the ICMP error that fits; it can't forward it. */
	if (route == ROUTE_LOCAL)
		return NEXT;
	if (first_packet) {
		frag_remember(v6, p, ep->network, slot);
		return netfilter_ask(ctx);
	}
	return OPEN;
}

/*
 * Container to a published port of the host: as if from the target's gateway. target is
 * NULL where the endpoint is gone.
 */
static __always_inline int open_hairpin(bool v6, const struct packet *p, __u32 slot,
					const struct endpoint *ep, const struct published *pub,
					const struct endpoint *target)
{
	struct network *net = target ? network_at(target->network) : NULL;
	struct flow_plan *plan = new_plan();

	if (!net || !plan)
		return dropped(DROP_ENDPOINT_GONE);
	/* A service may be of an internal network and of others, whose clients are none of it. */
	if (net->flags & NETWORK_INTERNAL && target->network != ep->network)
		return dropped(DROP_INTERNAL);
	if (p->dport != pub->port && port_is_sealed(p))
		return dropped(DROP_UNSUPPORTED);
	gateway_of(v6, net, plan->saddr);
	publish_target(v6, pub, plan->daddr);
	plan->dport = pub->port;
	plan->zone = ep->network;
	plan->twin_zone = target->network;
	plan->origin_endpoint = pub->endpoint;
	plan->origin_generation = pub->generation;
	plan->reply_endpoint = slot;
	plan->reply_generation = ep->generation;
	plan->origin_action = plan->reply_action = FLOW_DELIVER;
	plan->kind = FLOW_HAIRPIN;
	return OPEN;
}

/* Container to an endpoint of another network, in slot to, that admits it: untranslated. */
static __always_inline int open_between(bool v6, const struct packet *p, __u32 slot,
					const struct endpoint *ep, const struct network *net,
					__u32 to)
{
	__u32 target_slot = 0;
	struct endpoint *target = endpoint_of_addr(v6, to, p->daddr, &target_slot);
	struct network *target_net = target ? network_at(to) : NULL;
	struct flow_plan *plan = new_plan();

	if (net->flags & NETWORK_INTERNAL)
		return dropped(DROP_INTERNAL);
	if (!plan || !target_net || !admits(v6, p, to, target_net, net->bridge_ifindex))
		return dropped(DROP_ISOLATED);
	if (!begins_connection(p) && !continues_connection(p))
		return dropped(DROP_NO_FLOW);
	addr_copy(v6, plan->saddr, p->saddr);
	addr_copy(v6, plan->daddr, p->daddr);
	plan->dport = p->dport;
	plan->zone = ep->network;
	plan->twin_zone = to;
	plan->origin_endpoint = target_slot;
	plan->origin_generation = target->generation;
	plan->reply_endpoint = slot;
	plan->reply_generation = ep->generation;
	plan->origin_action = plan->reply_action = FLOW_DELIVER;
	plan->kind = FLOW_ROUTED;
	return OPEN;
}

/*
 * Plans a packet from outside to the endpoint at slot, or, relayed, out again as if the host
 * had begun it; the endpoint is a relay then. Returns DROP_NONE, or why not.
 */
static __always_inline enum drop_reason plan_inside(struct __sk_buff *ctx, bool v6,
						    const struct packet *p, const struct inside *to,
						    struct flow_plan *plan, bool relayed)
{
	struct endpoint *ep = endpoint_at(to->slot);
	struct network *net = ep ? network_at(ep->network) : NULL;
	enum route_result route;

	if (!net)
		return DROP_ENDPOINT_GONE;
	if (net->flags & NETWORK_INTERNAL)
		return DROP_INTERNAL;
	if (!begins_connection(p) && !continues_connection(p))
		return DROP_NO_FLOW;
	if (p->dport != to->dport && port_is_sealed(p))
		return DROP_UNSUPPORTED;
	/* The way of what leaves: the answers', or what is passed on. */
	route = route_lookup(ctx, v6, relayed ? p->saddr : p->daddr, relayed ? to->daddr : p->saddr,
			     net->bridge_ifindex, plan);
	if (route == ROUTE_NONE || route == ROUTE_LOCAL || (relayed && route != ROUTE_UPLINK))
		return DROP_NO_ROUTE;
	if (!relayed)
		addr_copy(v6, plan->saddr, p->saddr);
	else if (!masquerade_address(v6, net, plan))
		return DROP_NO_ADDRESS;
	addr_copy(v6, plan->daddr, to->daddr);
	plan->dport = to->dport;
	plan->zone = ZONE_WORLD;
	plan->twin_zone = relayed ? ZONE_WORLD : ep->network;
	plan->origin_endpoint = plan->reply_endpoint = to->slot;
	plan->origin_generation = plan->reply_generation = ep->generation;
	plan->origin_action = relayed ? FLOW_FORWARD : FLOW_DELIVER;
	plan->reply_action = route == ROUTE_UPLINK ? FLOW_FORWARD : FLOW_STACK;
	plan->kind = to->kind;
	plan->backend = to->backend;
	return DROP_NONE;
}

/*
 * From outside to an endpoint: through a published port, or straight to its
 * address where the network admits that. The client's address is kept; its
 * port changes only if two of its flows would look alike to the container. What is relayed
 * has the host's address, and a port as if it were masqueraded.
 */
static __always_inline int open_inside(struct __sk_buff *ctx, bool v6, const struct packet *p,
				       const struct inside *to)
{
	struct flow_plan *plan = new_plan();
	enum drop_reason reason;

	if (!plan)
		return TC_ACT_SHOT;
	reason = plan_inside(ctx, v6, p, to, plan, to->kind == FLOW_RELAY);
	if (reason)
		return dropped(reason);
	return first_packet ? netfilter_present(ctx, v6, p) : OPEN;
}
