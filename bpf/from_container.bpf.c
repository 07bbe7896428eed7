// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Ingress of the host side of a container's veth: everything that a container
 * sends. Stages: who is it, is it honest, is it for a peer, is it for a known
 * flow, may it begin one.
 */
#include "guard.h"
#include "icmp.h"
#include "open.h"
#include "peer.h"

/* To one of the host's own addresses. */
static __always_inline int to_host(struct __sk_buff *ctx, bool v6, const struct packet *p,
				   __u32 slot, const struct endpoint *ep, const struct network *net,
				   __u32 gateway_of_network)
{
	struct published *pub = NULL;
	struct endpoint *target;

	if (!(p->flags & (PKT_NO_PORTS | PKT_LATER_FRAGMENT)) && begins_connection(p))
		pub = publish_resolve(v6, p->daddr, p->dport, p->proto, FOR_PACKET, &target);
	if (pub) {
		if (net->flags & NETWORK_INTERNAL)
			return drop(ctx, DROP_INTERNAL, DIR_TRANSMIT);
		return open_hairpin(ctx, v6, p, slot, ep, pub, target);
	}
	if (gateway_of_network && gateway_of_network != (__u32)ep->network + 1)
		return drop(ctx, DROP_ISOLATED, DIR_TRANSMIT);
	if (net->flags & NETWORK_INTERNAL && !gateway_of_network)
		return drop(ctx, DROP_INTERNAL, DIR_TRANSMIT);
	return NEXT;
}

/* The first packet of what may become a flow: policy decides. A verdict, or OPEN. */
static __always_inline int begin(struct __sk_buff *ctx, bool v6, const struct packet *p)
{
	__u32 slot = 0, *gateway;
	struct endpoint *ep = endpoint_of_device(ctx->ifindex, &slot);
	struct network *net = ep ? network_at(ep->network) : NULL;
	__u32 target;

	if (!net)
		return drop(ctx, DROP_UNMANAGED, DIR_TRANSMIT);
	if (addr_is_loopback(v6, p->daddr))
		return drop(ctx, DROP_MARTIAN, DIR_TRANSMIT);
	/* Link-local and multicast by unicast MAC are the stack's business, and stay here. */
	if (addr_is_multicast(v6, p->daddr) || (v6 && addr6_is_link_local(p->daddr)))
		return NEXT;
	gateway = host_addr(v6, p->daddr);
	if (gateway)
		return to_host(ctx, v6, p, slot, ep, net, *gateway);
	target = network_of_addr(v6, p->daddr);
	if (target == ep->network) {
		__u32 peer_slot = 0;
		struct endpoint *peer = endpoint_of_addr(v6, p->daddr, &peer_slot);

		/* Sent to the gateway though it is on link: the stack redirects or refuses. */
		if (!peer || !(net->flags & NETWORK_ICC))
			return drop(ctx, peer ? DROP_ICC : DROP_NO_ROUTE, DIR_TRANSMIT);
		return NEXT;
	}
	if (p->flags & PKT_LATER_FRAGMENT) {
		/* Its first one waits in the stack for the rest, perhaps. */
		if (first_packet && p->flags & PKT_RESOLVED && target == MAX_NETWORKS)
			return netfilter_ask(ctx);
		return drop(ctx, DROP_FRAGMENT, DIR_TRANSMIT);
	}
	if (p->flags & PKT_ICMP_ERROR)
		return drop(ctx, DROP_NO_FLOW, DIR_TRANSMIT);
	if (target != MAX_NETWORKS)
		return open_between(ctx, v6, p, slot, ep, net);
	return open_outside(ctx, v6, p, slot, ep, net);
}

__noinline int from_container_begin4(struct __sk_buff *ctx, const struct packet *p)
{
	return p ? begin(ctx, false, p) : TC_ACT_SHOT;
}

__noinline int from_container_begin6(struct __sk_buff *ctx, const struct packet *p)
{
	return p ? begin(ctx, true, p) : TC_ACT_SHOT;
}

/* A packet of no flow: a verdict, or OPEN. */
static __always_inline int from_container_new(struct __sk_buff *ctx, bool v6,
					      const struct packet *p)
{
	int action = NEXT;

	if (p->flags & PKT_ICMP_ERROR)
		action = v6 ? translate_error6(ctx, p, ZONE_CONTAINER) :
			      translate_error4(ctx, p, ZONE_CONTAINER);
	if (action == NEXT)
		action = v6 ? from_container_begin6(ctx, p) : from_container_begin4(ctx, p);
	if (action == OPEN)
		make_room(v6);
	return action;
}

/* For the gateway's MAC: to be routed. */
static __always_inline int routed(struct __sk_buff *ctx, bool v6, struct packet *p)
{
	enum flow_fate fate = FLOW_MISSING;
	enum drop_reason reason;
	struct flow *f = NULL;

	if (!(p->flags & PKT_ICMP_ERROR) && frag_resolve(v6, p, ZONE_CONTAINER))
		fate = flow_follow(ctx, v6, p, ZONE_CONTAINER, &f);
	if (fate == FLOW_LOST)
		return drop(ctx, DROP_FLOW_EXPIRING, DIR_TRANSMIT);
	if (fate == FLOW_MISSING) {
		int action = from_container_new(ctx, v6, p);

		if (action != OPEN)
			return action;
		f = open_planned(ctx, v6, p, ZONE_CONTAINER, &reason);
		if (!f)
			return drop(ctx, reason, DIR_TRANSMIT);
	}
	return apply(ctx, v6, p, f, ZONE_CONTAINER, DIR_TRANSMIT);
}

/*
 * Whether the address fits a frame to many: multicast, or broadcast in the
 * sender's subnet. A packet for one hidden in such a frame (RFC 1122, 3.3.6)
 * would reach the host's stack past all policy.
 */
static __always_inline bool is_for_many(bool v6, const struct packet *p, const struct endpoint *ep)
{
	if (addr_is_multicast(v6, p->daddr))
		return true;
	return !v6 && network_of_addr(false, p->daddr) == ep->network &&
	       !host_addr(false, p->daddr);
}

static __always_inline int from_container_ip(struct __sk_buff *ctx, bool v6,
					     const struct endpoint *ep, const struct network *net,
					     const __u8 *dmac, struct packet *p)
{
	enum drop_reason reason;
	struct endpoint *peer;
	__u32 slot = 0;

	if (!network_has(net, v6))
		return drop(ctx, DROP_FAMILY_DISABLED, DIR_TRANSMIT);
	reason = parse_ip(ctx, v6, p);
	if (!reason)
		reason = guard_container(ctx, v6, p, ep, net);
	if (reason)
		return drop(ctx, reason, DIR_TRANSMIT);
	/* Broadcast and multicast: the bridge floods them, to_container filters. */
	if (dmac[0] & 1)
		return is_for_many(v6, p, ep) ? NEXT : drop(ctx, DROP_MALFORMED, DIR_TRANSMIT);
	if (mac_equal(dmac, net->gateway_mac))
		return routed(ctx, v6, p);
	/*
	 * Any other MAC is nobody's, or one of the host's other devices on the
	 * bridge: the stack would take it as for the gateway, past all policy.
	 */
	peer = endpoint_of_mac(ep->network, dmac, &slot);
	if (!peer)
		return drop(ctx, DROP_ENDPOINT_GONE, DIR_TRANSMIT);
	return to_peer(ctx, v6, p, net, peer, slot);
}

/* Neither IP nor ARP: nothing that icc=false could judge, so it isn't let through. */
static __always_inline int odd_frame(struct __sk_buff *ctx, const struct network *net)
{
	return net->flags & NETWORK_ICC ? NEXT : drop(ctx, DROP_ICC, DIR_TRANSMIT);
}

static __always_inline int from_container_frame(struct __sk_buff *ctx)
{
	struct endpoint *ep;
	struct network *net;
	struct ethhdr *eth;
	struct packet *p = new_packet();
	__u8 dmac[ETH_ALEN];
	__u32 slot = 0;
	enum vlan vlan;

	mark_clear(ctx);
	vlan = strip_priority_tags(ctx);
	if (vlan == VLAN_UNCLEAR)
		return drop(ctx, DROP_MALFORMED, DIR_TRANSMIT);
	ep = endpoint_of_device(ctx->ifindex, &slot);
	net = ep ? network_at(ep->network) : NULL;
	if (!net || !p)
		return drop(ctx, DROP_UNMANAGED, DIR_TRANSMIT);
	eth = data_of(ctx);
	if ((void *)(eth + 1) > data_end_of(ctx))
		return drop(ctx, DROP_MALFORMED, DIR_TRANSMIT);
	if (!mac_equal(eth->h_source, ep->mac))
		return drop(ctx, DROP_SPOOFED_MAC, DIR_TRANSMIT);
	count_transmit(ctx, slot);
	__builtin_memcpy(dmac, eth->h_dest, ETH_ALEN);
	/*
	 * A tag is out of the frame by now, so a tagged packet looks like any other;
	 * redirected, it would carry its VLAN out of the network.
	 */
	if (vlan == VLAN_TAGGED)
		return odd_frame(ctx, net);
	switch (eth->h_proto) {
	case bpf_htons(ETH_P_IP):
		return from_container_ip(ctx, false, ep, net, dmac, p);
	case bpf_htons(ETH_P_IPV6):
		return from_container_ip(ctx, true, ep, net, dmac, p);
	case bpf_htons(ETH_P_ARP):
		return arp_is_honest(ctx, ep, net) ? NEXT :
						     drop(ctx, DROP_SPOOFED_ARP, DIR_TRANSMIT);
	}
	return odd_frame(ctx, net);
}

SEC("tc")
int from_container(struct __sk_buff *ctx)
{
	return count_verdict(ctx, PROG_FROM_CONTAINER, from_container_frame(ctx));
}
