// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Egress of an uplink. No packet with a container's address as its source may
 * leave, in any state of the tables: what the stack forwards for a container
 * (fragments, odd routes) is translated here, or stopped.
 */
#include "host.h"
#include "open.h"
#include "refuse.h"

/* The stack has routed it and decremented its TTL; only translation is left. */
static __always_inline int translate(struct __sk_buff *ctx, bool v6, const struct packet *p,
				     const struct flow *f)
{
	const struct macs macs = {};

	if (first_packet)
		netfilter_let_out(ctx, v6, p);
	frag_remember(v6, p, ZONE_CONTAINER, f->endpoint);
	if (flow_rewrite(ctx, v6, p, f, &macs, false))
		return drop(ctx, DROP_REWRITE_FAILED, DIR_TRANSMIT);
	/* An uplink below this one (VLAN, macvlan) must not take it for the host's own. */
	mark_forwarded(ctx);
	return NEXT;
}

static __always_inline int open_here(struct __sk_buff *ctx, bool v6, const struct packet *p,
				     __u32 slot, const struct endpoint *ep,
				     const struct network *net)
{
	enum route_result route = ROUTE_NONE;
	struct flow_plan *plan = new_plan();
	enum drop_reason reason;
	struct flow *f;

	if (!plan)
		return TC_ACT_SHOT;
	make_room(v6);
	reason = plan_outside(ctx, v6, p, slot, ep, net, &route, plan);
	if (!reason && route == ROUTE_LOCAL)
		reason = DROP_NO_ROUTE;
	if (!reason)
		reason = open_plan(ctx, v6, p, plan);
	if (reason)
		return drop(ctx, reason, DIR_TRANSMIT);
	f = flow_find(v6, p, ZONE_CONTAINER);
	return f ? translate(ctx, v6, p, f) : drop(ctx, DROP_NO_FLOW, DIR_TRANSMIT);
}

/* A packet with a source in one of our subnets. */
static __always_inline int private_source(struct __sk_buff *ctx, bool v6, struct packet *p)
{
	__u32 slot = 0;
	struct endpoint *ep = endpoint_of_addr(v6, p->saddr, &slot);
	struct network *net = ep ? network_at(ep->network) : NULL;
	struct flow *f;

	if (!net)
		return drop(ctx, DROP_PRIVATE_SOURCE, DIR_TRANSMIT);
	if (p->flags & PKT_ICMP_ERROR || !frag_resolve(v6, p, ZONE_CONTAINER))
		return drop(ctx, DROP_PRIVATE_SOURCE, DIR_TRANSMIT);
	f = flow_find(v6, p, ZONE_CONTAINER);
	if (f && flow_is_current(f) && flow_touch(f, FLOW_SEEN, p->proto))
		return translate(ctx, v6, p, f);
	if (p->flags & PKT_LATER_FRAGMENT)
		return drop(ctx, DROP_FRAGMENT, DIR_TRANSMIT);
	if (is_refusal(ctx, p))
		return v6 ? refuse_reset6(ctx, p) : refuse_reset4(ctx, p);
	return open_here(ctx, v6, p, slot, ep, net);
}

__noinline int private_source4(struct __sk_buff *ctx, struct packet *p)
{
	return p ? private_source(ctx, false, p) : TC_ACT_SHOT;
}

__noinline int private_source6(struct __sk_buff *ctx, struct packet *p)
{
	return p ? private_source(ctx, true, p) : TC_ACT_SHOT;
}

/* What a socket of the host sends, or the host's stack of its own accord. */
static __always_inline int host_speaks(struct __sk_buff *ctx, bool v6, struct packet *p)
{
	if (first_packet && p->flags & PKT_ICMP_ERROR)
		return v6 ? refuse_error6(ctx, p) : refuse_error4(ctx, p);
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
	__u32 network;

	if (!p)
		return NEXT;
	if (parse_ip(ctx, v6, p)) {
		/* Unreadable, so at least its source is looked at. */
		if (network_of_addr(v6, p->saddr) != MAX_NETWORKS)
			return drop(ctx, DROP_PRIVATE_SOURCE, DIR_TRANSMIT);
		return NEXT;
	}
	network = network_of_addr(v6, p->saddr);
	if (network == MAX_NETWORKS)
		return is_own(ctx, v6, p) ? host_speaks(ctx, v6, p) : NEXT;
	/* A gateway's own address, used by a socket of the host. */
	if (!ctx->ingress_ifindex && host_addr(v6, p->saddr))
		return NEXT;
	return v6 ? private_source6(ctx, p) : private_source4(ctx, p);
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
	return count_verdict(ctx, PROG_TO_UPLINK, to_uplink_frame(ctx));
}
