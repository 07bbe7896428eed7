// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Ingress of the host side of a container's veth: everything that a container
 * sends. Stages: who is it, is it honest, is it for a peer, is it for a known
 * flow, may it begin one.
 */
#include "guard.h"
#include "open.h"
#include "park.h"
#include "peer.h"

/*
 * To a published port, or to a service by its own address, which own tells. target is NULL
 * where nobody is there, or an address outside; why is the reason of the former.
 */
static __always_inline int to_published(struct __sk_buff *ctx, bool v6, const struct packet *p,
					__u32 slot, const struct endpoint *ep,
					const struct network *net, const struct published *pub,
					const struct endpoint *target, bool own,
					enum drop_reason why)
{
	__be32 daddr[4];

	/* What an internal network has of its own it reaches. */
	if (net->flags & NETWORK_INTERNAL &&
	    !(own && (target ? target->network == ep->network : publish_is_vacant(pub))))
		return dropped(DROP_INTERNAL);
	if (!target && publish_is_vacant(pub))
		return reply_no_backend(ctx, PROG_FROM_CONTAINER, v6, p, why);
	if (publish_is_outside(pub)) {
		if (p->dport != pub->port && port_is_sealed(p))
			return dropped(DROP_UNSUPPORTED);
		publish_target(v6, pub, daddr);
		return open_outside(ctx, v6, p, slot, ep, net, daddr, pub->port);
	}
	return open_hairpin(v6, p, slot, ep, pub, target);
}

/* To one of the host's own addresses. */
static __always_inline int to_host(struct __sk_buff *ctx, bool v6, const struct packet *p,
				   __u32 slot, const struct endpoint *ep, const struct network *net,
				   __u32 gateway_of_network)
{
	bool own = gateway_of_network == (__u32)ep->network + 1;
	struct client client = client_of(v6, p);
	struct published *pub = NULL;
	struct endpoint *target;

	client.reach = ep->network;
	/* Left to the host's stack for netfilter to judge, it would be for the host itself. */
	if (!first_packet)
		client.reach |= REACH_OUTSIDE;
	if (net->flags & NETWORK_INTERNAL)
		client.reach = ep->network | REACH_OWN;

	if (!(p->flags & (PKT_NO_PORTS | PKT_LATER_FRAGMENT)) && begins_connection(p) &&
	    (!v6 || may_be_forwarded(true, p->saddr)))
		pub = publish_resolve(v6, p->daddr, p->dport, p->proto, FOR_PACKET,
				      own ? ep->network : 0, &client, &target);
	if (pub) {
		int action = to_published(ctx, v6, p, slot, ep, net, pub, target, own, client.why);
		struct flow_plan *plan = action == OPEN ? the_plan() : NULL;

		if (plan)
			plan->backend = client.backend;
		return action;
	}
	if (gateway_of_network && !own && !is_gateway(v6, net, p->daddr))
		return dropped(DROP_ISOLATED);
	if (net->flags & NETWORK_INTERNAL && !gateway_of_network)
		return dropped(DROP_INTERNAL);
	return NEXT;
}

/*
 * The same of what may be a fragment. A later one may be for a published port, if its first
 * one hasn't come.
 */
static __always_inline int to_host_any(struct __sk_buff *ctx, bool v6, const struct packet *p,
				       __u32 slot, const struct endpoint *ep,
				       const struct network *net, __u32 gateway_of_network)
{
	int action = to_host(ctx, v6, p, slot, ep, net, gateway_of_network);

	/* An internal network has published ports at its own addresses alone. */
	if (net->flags & NETWORK_INTERNAL && gateway_of_network != (__u32)ep->network + 1)
		return action;
	if (!(p->flags & PKT_FRAGMENT) || (v6 && !may_be_forwarded(true, p->saddr)))
		return action;
	if (is_orphan(p))
		return action == NEXT ? PARK_COPY : PARK;
	if (action == NEXT)
		frag_remember_own(v6, p, ep->network);
	return action;
}

/* Whether a later fragment's first one may still come, and be let through. */
static __always_inline bool may_follow(bool v6, const struct packet *p, const struct network *net,
				       __u32 target)
{
	struct network *target_net;

	if (!is_orphan(p) || net->flags & NETWORK_INTERNAL)
		return false;
	if (target == MAX_NETWORKS)
		return true;
	target_net = network_at(target);
	return target_net && may_admit(v6, target, target_net, net->bridge_ifindex);
}

/*
 * The first packet of what may become a flow: policy decides. A verdict, OPEN, PARK or
 * PARK_COPY.
 */
static __always_inline int begin(struct __sk_buff *ctx, bool v6, const struct packet *p)
{
	__u32 slot = 0, *gateway;
	struct endpoint *ep = endpoint_of_device(ctx->ifindex, &slot);
	struct network *net = ep ? network_at(ep->network) : NULL;
	__u32 target;

	if (!net)
		return dropped(DROP_UNMANAGED);
	if (addr_is_loopback(v6, p->daddr))
		return dropped(DROP_MARTIAN);
	/* Link-local and multicast by unicast MAC are the stack's business, and stay here. */
	if (addr_is_multicast(v6, p->daddr) || (v6 && addr6_is_link_local(p->daddr)))
		return NEXT;
	gateway = host_addr(v6, p->daddr);
	if (gateway)
		return to_host_any(ctx, v6, p, slot, ep, net, *gateway);
	if (network_holds(v6, net, p->daddr)) {
		__u32 peer_slot = 0;
		struct endpoint *peer = endpoint_of_addr(v6, ep->network, p->daddr, &peer_slot);

		/* Sent to the gateway though it is on link: the stack redirects or refuses. */
		if (!peer || !(net->flags & NETWORK_ICC))
			return dropped(peer ? DROP_ICC : DROP_NO_ROUTE);
		return NEXT;
	}
	/* Of IPv4 the guard has let through the endpoint's own address only. */
	if (v6 && !may_be_forwarded(true, p->saddr))
		return dropped(DROP_MARTIAN);
	target = network_of_addr(v6, p->daddr);
	if (p->flags & PKT_LATER_FRAGMENT) {
		/* Its first one waits in the stack for the rest, perhaps. */
		if (first_packet && p->flags & PKT_RESOLVED && target == MAX_NETWORKS)
			return netfilter_ask(ctx);
		return may_follow(v6, p, net, target) ? PARK : dropped(DROP_FRAGMENT);
	}
	if (p->flags & PKT_ICMP_ERROR)
		return dropped(DROP_NO_FLOW);
	if (target != MAX_NETWORKS)
		return open_between(v6, p, slot, ep, net, target);
	return open_outside(ctx, v6, p, slot, ep, net, p->daddr, p->dport);
}

/* A packet of no flow. */
static __always_inline int container_new(struct __sk_buff *ctx, bool v6)
{
	struct packet *p = the_packet();
	int action;

	if (!p)
		return TC_ACT_SHOT;
	action = begin(ctx, v6, p);
	if (action == PARK || action == PARK_COPY)
		return go_on_parking(ctx, PROG_FROM_CONTAINER, v6, action == PARK_COPY);
	return action == OPEN ? go_on_as(ctx, PROG_FROM_CONTAINER, v6, CALL_ENTER) : action;
}

SEC("tc")
int container_new4(struct __sk_buff *ctx)
{
	return leave_first(ctx, PROG_FROM_CONTAINER, false, container_new(ctx, false));
}

SEC("tc")
int container_new6(struct __sk_buff *ctx)
{
	return leave_first(ctx, PROG_FROM_CONTAINER, true, container_new(ctx, true));
}

/*
 * The zone of what an endpoint sends. The compiler may leave out what concerns outside: slot
 * 0 of networks has no family, so nothing of it comes so far.
 */
static __always_inline __u16 zone_of(const struct endpoint *ep)
{
	__u16 zone = ep->network;

	__builtin_assume(zone != ZONE_WORLD);
	return zone;
}

/* For the gateway's MAC: to be routed. */
static __always_inline int routed(struct __sk_buff *ctx, bool v6, struct packet *p, __u16 zone)
{
	struct endpoint *ep;
	struct flow *f;

	if (p->flags & PKT_ICMP_ERROR)
		return go_on_as(ctx, PROG_FROM_CONTAINER, v6, CALL_ERROR);
	switch (flow_look(ctx, v6, p, zone, &f, &ep)) {
	case FLOW_FOUND:
		return apply(ctx, v6, p, f, zone, ep);
	case FLOW_LOST:
		return dropped(DROP_FLOW_EXPIRING);
	case FLOW_SUPERSEDED:
		return go_on(ctx, v6, CALL_CONTAINER_ODD);
	case FLOW_MISSING:
		break;
	}
	return go_on(ctx, v6, CALL_CONTAINER_NEW);
}

/* The same for what may be a fragment, or follow a flow that is over. */
static __always_inline int routed_odd(struct __sk_buff *ctx, bool v6, struct packet *p, __u16 zone)
{
	enum flow_fate fate = FLOW_MISSING;
	struct endpoint *ep;
	struct flow *f;

	if (p->flags & PKT_ICMP_ERROR)
		return go_on_as(ctx, PROG_FROM_CONTAINER, v6, CALL_ERROR);
	if (frag_resolve(v6, p, zone))
		fate = flow_follow(ctx, v6, p, zone, &f, &ep);
	if (fate == FLOW_FOUND)
		return apply_any(ctx, v6, p, f, zone, ep);
	if (fate == FLOW_LOST)
		return dropped(DROP_FLOW_EXPIRING);
	return go_on(ctx, v6, CALL_CONTAINER_NEW);
}

/*
 * Whether the address fits a frame to many: multicast, or broadcast in the
 * sender's subnet. A packet for one hidden in such a frame (RFC 1122, 3.3.6)
 * would reach the host's stack past all policy.
 */
static __always_inline bool is_for_many(bool v6, const struct packet *p, const struct network *net)
{
	if (addr_is_multicast(v6, p->daddr))
		return true;
	return !v6 && network_holds(false, net, p->daddr) && !host_addr(false, p->daddr);
}

/*
 * Any MAC but the gateway's and those of peers is nobody's, or one of the host's other
 * devices on the bridge: the stack would take it as for the gateway, past all policy.
 */
static __always_inline int switched(struct __sk_buff *ctx, bool v6, const struct packet *p,
				    const struct endpoint *ep, const struct network *net,
				    const __u8 *dmac)
{
	__u32 slot = 0;
	struct endpoint *peer = endpoint_of_mac(ep->network, dmac, &slot);

	return peer ? to_peer(ctx, v6, p, net, peer, slot) : dropped(DROP_ENDPOINT_GONE);
}

static __always_inline int from_container_ip(struct __sk_buff *ctx, bool v6,
					     const struct endpoint *ep, const struct network *net,
					     const __u8 *dmac, struct packet *p)
{
	enum drop_reason reason;

	if (!network_has(net, v6))
		return dropped(DROP_FAMILY_DISABLED);
	reason = parse_l3(ctx, v6, p);
	if (reason)
		return dropped(reason);
	if (dmac[0] & 1 || !is_plain(v6, p))
		return go_on(ctx, v6, CALL_CONTAINER_ODD);
	reason = parse_transport(ctx, v6, p);
	if (reason)
		return dropped(reason);
	if (v6 && is_nd(p))
		return go_on(ctx, v6, CALL_CONTAINER_ODD);
	reason = guard_container(ctx, v6, p, ep);
	if (reason)
		return dropped(reason);
	if (mac_equal(dmac, net->gateway_mac))
		return routed(ctx, v6, p, zone_of(ep));
	return switched(ctx, v6, p, ep, net, dmac);
}

/* What from_container_ip() leaves here; the IP header is parsed. */
static __always_inline int container_odd(struct __sk_buff *ctx, bool v6)
{
	__u32 slot = 0;
	struct endpoint *ep = endpoint_of_device(ctx->ifindex, &slot);
	struct network *net = ep ? network_at(ep->network) : NULL;
	struct packet *p = the_packet();
	enum drop_reason reason;
	__u8 dmac[ETH_ALEN];

	frag_begin();
	if (!net || !p)
		return dropped(DROP_UNMANAGED);
	reason = parse_rest(ctx, v6, p);
	if (!reason)
		reason = guard_container(ctx, v6, p, ep);
	if (!reason && v6 && is_nd(p))
		reason = guard_nd(ctx, p, ep, net);
	if (!reason && bpf_skb_load_bytes(ctx, 0, dmac, sizeof(dmac)))
		reason = DROP_MALFORMED;
	if (reason)
		return dropped(reason);
	/* Broadcast and multicast: the bridge floods them, to_container filters. */
	if (dmac[0] & 1)
		return is_for_many(v6, p, net) ? NEXT : dropped(DROP_MALFORMED);
	if (mac_equal(dmac, net->gateway_mac))
		return routed_odd(ctx, v6, p, zone_of(ep));
	return switched(ctx, v6, p, ep, net, dmac);
}

SEC("tc")
int container_odd4(struct __sk_buff *ctx)
{
	return leave_first(ctx, PROG_FROM_CONTAINER, false, container_odd(ctx, false));
}

SEC("tc")
int container_odd6(struct __sk_buff *ctx)
{
	return leave_first(ctx, PROG_FROM_CONTAINER, true, container_odd(ctx, true));
}

/* Neither IP nor ARP: nothing that icc=false could judge, so it isn't let through. */
static __always_inline int odd_frame(const struct network *net)
{
	return net->flags & NETWORK_ICC ? NEXT : dropped(DROP_ICC);
}

static __always_inline int from_container_frame(struct __sk_buff *ctx)
{
	struct endpoint *ep;
	struct network *net;
	struct ethhdr *eth;
	struct packet *p = new_packet();
	__u8 dmac[8] __attribute__((aligned(8)));
	__u32 slot = 0;
	enum vlan vlan;

	mark_clear(ctx);
	vlan = strip_priority_tags(ctx);
	if (vlan == VLAN_UNCLEAR)
		return dropped(DROP_MALFORMED);
	ep = endpoint_of_device(ctx->ifindex, &slot);
	net = ep ? network_at(ep->network) : NULL;
	if (!net || !p)
		return dropped(DROP_UNMANAGED);
	eth = data_of(ctx);
	if ((void *)(eth + 1) > data_end_of(ctx))
		return dropped(DROP_MALFORMED);
	if (!mac_equal(eth->h_source, ep->mac))
		return dropped(DROP_SPOOFED_MAC);
	count_transmit(ctx, slot);
	mac_copy(dmac, eth->h_dest);
	/*
	 * A tag is out of the frame by now, so a tagged packet looks like any other;
	 * redirected, it would carry its VLAN out of the network.
	 */
	if (vlan == VLAN_TAGGED)
		return odd_frame(net);
	switch (ether_type(eth)) {
	case bpf_htons(ETH_P_IP):
		return from_container_ip(ctx, false, ep, net, dmac, p);
	case bpf_htons(ETH_P_IPV6):
		return from_container_ip(ctx, true, ep, net, dmac, p);
	case bpf_htons(ETH_P_ARP):
		return arp_is_honest(ctx, ep, net) ? NEXT : dropped(DROP_SPOOFED_ARP);
	}
	return odd_frame(net);
}

SEC("tc")
int from_container(struct __sk_buff *ctx)
{
	return leave(ctx, PROG_FROM_CONTAINER, from_container_frame(ctx));
}
