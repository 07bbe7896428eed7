// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Egress of an uplink. No packet with a container's address as its source may
 * leave, in any state of the tables: what the stack forwards for a container
 * (fragments, odd routes) is translated here, or stopped.
 */
#include "host.h"
#include "open.h"
#include "refuse.h"

/* Plans what the stack forwards for a container; see plan_outside(). A verdict, or OPEN. */
static __always_inline int begin_here(struct __sk_buff *ctx, bool v6, const struct packet *p,
				      __u32 slot, const struct endpoint *ep,
				      const struct network *net)
{
	enum route_result route = ROUTE_NONE;
	struct flow_plan *plan = new_plan();
	enum drop_reason reason;

	if (!plan)
		return TC_ACT_SHOT;
	reason = plan_outside(ctx, v6, p, slot, ep, net, p->daddr, p->dport, &route, plan);
	if (!reason && route == ROUTE_LOCAL)
		reason = DROP_NO_ROUTE;
	return reason ? dropped(reason) : OPEN;
}

/*
 * Whether the stack had the packet from another device than the network's own, or the
 * endpoint's: from a network with the same addresses, or from a stranger. 0 is the stack
 * itself. Pieces of a datagram that netfilter puts together on the bridge keep the number of
 * the endpoint's device, all but the first; so does what a program forwarded to an uplink on
 * top of this one, where no address was translated.
 */
static __always_inline bool is_foreign(const struct __sk_buff *ctx, const struct network *net,
				       const struct endpoint *ep)
{
	__u32 ingress = ctx->ingress_ifindex;

	return ingress && ingress != net->bridge_ifindex && ingress != ep->ifindex;
}

/* A packet with a source in a subnet of ours, whose network the scratch's inside tells. */
static __always_inline int private_source(struct __sk_buff *ctx, bool v6)
{
	struct packet *p = the_packet();
	struct inside *from = the_inside();
	__u32 slot = 0;
	struct endpoint *ep = p && from ? endpoint_of_addr(v6, from->network, p->saddr, &slot) :
					  NULL;
	struct network *net = ep ? network_at(ep->network) : NULL;
	struct flow *f;
	int action;

	if (!net || is_foreign(ctx, net, ep) || p->flags & PKT_ICMP_ERROR ||
	    !frag_resolve(v6, p, ep->network))
		return dropped(DROP_PRIVATE_SOURCE);
	f = flow_find(v6, p, ep->network);
	if (f && flow_is_current(f) && flow_touch(f, FLOW_SEEN, p->proto))
		return translate(ctx, v6, p, f, ep->network);
	if (p->flags & PKT_LATER_FRAGMENT)
		return dropped(DROP_FRAGMENT);
	if (is_refusal(ctx, p))
		return refuse_reset(ctx, v6, p, ep->network);
	action = begin_here(ctx, v6, p, slot, ep, net);
	return action == OPEN ? go_on_as(ctx, PROG_TO_UPLINK, v6, CALL_ENTER) : action;
}

SEC("tc")
int private_source4(struct __sk_buff *ctx)
{
	return leave(ctx, PROG_TO_UPLINK, private_source(ctx, false));
}

SEC("tc")
int private_source6(struct __sk_buff *ctx)
{
	return leave(ctx, PROG_TO_UPLINK, private_source(ctx, true));
}

/* An ICMP error that the host's stack sends about what netfilter refused. */
static __always_inline int refuse_any(struct __sk_buff *ctx, bool v6)
{
	struct packet *p = the_packet();

	return first_packet && p ? refuse_error(ctx, v6, p) : TC_ACT_SHOT;
}

SEC("tc")
int refuse4(struct __sk_buff *ctx)
{
	return leave(ctx, PROG_TO_UPLINK, refuse_any(ctx, false));
}

SEC("tc")
int refuse6(struct __sk_buff *ctx)
{
	return leave(ctx, PROG_TO_UPLINK, refuse_any(ctx, true));
}

/* What a socket of the host sends, or the host's stack of its own accord. */
static __always_inline int host_speaks(struct __sk_buff *ctx, bool v6, struct packet *p)
{
	if (first_packet && p->flags & PKT_ICMP_ERROR)
		return go_on(ctx, v6, CALL_REFUSE);
	return host_begins(ctx, v6, p, ZONE_WORLD);
}

/*
 * Whether the host itself sends the packet. What it forwards into a tunnel is its own when
 * it comes out of it, though the packet may remember where it came in (IPsec); so is what
 * its netfilter masqueraded for others. What a container's veth brought is translated
 * already if it has the host's address, and what came in by an uplink is a stranger's, who
 * may claim any address.
 */
static __always_inline bool is_own(const struct __sk_buff *ctx, bool v6, const struct packet *p)
{
	__u32 ingress = ctx->ingress_ifindex;

	if (!ingress)
		return true;
	return is_told_by_use(v6, p->proto) && host_addr(v6, p->saddr) &&
	       !device_at(ingress, DEVICE_ENDPOINT) && !bpf_map_lookup_elem(&uplinks, &ingress);
}

static __always_inline int to_uplink_ip(struct __sk_buff *ctx, bool v6)
{
	struct packet *p = new_packet();
	struct inside *from;
	__u32 network;

	if (!p)
		return NEXT;
	if (parse_ip(ctx, v6, p)) {
		/* Unreadable, so at least its source is looked at. */
		if (network_of_addr(v6, p->saddr) != MAX_NETWORKS)
			return dropped(DROP_PRIVATE_SOURCE);
		return NEXT;
	}
	network = network_of_addr(v6, p->saddr);
	if (network == MAX_NETWORKS)
		return is_own(ctx, v6, p) ? host_speaks(ctx, v6, p) : NEXT;
	/* A gateway's own address, used by a socket of the host. */
	if (!ctx->ingress_ifindex && host_addr(v6, p->saddr))
		return NEXT;
	from = the_inside();
	if (from)
		from->network = network;
	return go_on(ctx, v6, CALL_PRIVATE_SOURCE);
}

static __always_inline int to_uplink_frame(struct __sk_buff *ctx)
{
	if (is_forwarded(ctx)) {
		mark_clear(ctx);
		return NEXT;
	}
	switch (ctx->protocol) {
	case bpf_htons(ETH_P_IP):
		return to_uplink_ip(ctx, false);
	case bpf_htons(ETH_P_IPV6):
		return to_uplink_ip(ctx, true);
	}
	return NEXT;
}

SEC("tc")
int to_uplink(struct __sk_buff *ctx)
{
	return leave(ctx, PROG_TO_UPLINK, to_uplink_frame(ctx));
}
