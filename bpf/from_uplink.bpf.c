// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Ingress of an uplink: everything from outside. Stages: is it for a known
 * flow, must it not come in, is it for a published port; else it is the host's.
 */
#include "icmp.h"
#include "open.h"

/* What decide() says beside verdicts. */
#define OPEN_INSIDE (-2)

/* Straight to a container's address, past the published ports. */
static __always_inline int direct(struct __sk_buff *ctx, bool v6, const struct packet *p,
				  __u32 network, struct inside *to)
{
	struct network *net = network_at(network);

	if (!net)
		return drop(ctx, DROP_DIRECT_ROUTING, DIR_RECEIVE);
	if (net->flags & NETWORK_INTERNAL)
		return drop(ctx, DROP_INTERNAL, DIR_RECEIVE);
	if (first_packet && p->flags & PKT_RESOLVED)
		return netfilter_ask(ctx);
	if (p->flags & PKT_LATER_FRAGMENT || !admits(v6, p, network, net, ctx->ifindex))
		return drop(ctx, DROP_DIRECT_ROUTING, DIR_RECEIVE);
	if (!endpoint_of_addr(v6, p->daddr, &to->slot))
		return drop(ctx, DROP_ENDPOINT_GONE, DIR_RECEIVE);
	addr_copy(v6, to->daddr, p->daddr);
	to->dport = p->dport;
	to->kind = FLOW_ROUTED;
	return OPEN_INSIDE;
}

/* To an address of the host: a published port, or NEXT, none of our business. */
static __always_inline int published(struct __sk_buff *ctx, bool v6, const struct packet *p,
				     struct inside *to)
{
	struct published *pub;
	struct endpoint *ep;

	if (p->flags & (PKT_NO_PORTS | PKT_LATER_FRAGMENT) &&
	    !(first_packet && p->flags & PKT_RESOLVED))
		return NEXT;
	/* No container could answer a client that is known on one link only; nor does Docker. */
	if (v6 && addr6_is_link_local(p->saddr))
		return NEXT;
	if (!port_is_published(p->proto, p->dport) || !host_addr(v6, p->daddr))
		return NEXT;
	pub = publish_resolve(v6, p->daddr, p->dport, p->proto, FOR_PACKET, &ep);
	if (!pub)
		return NEXT;
	/* Neither a beginning nor a middle: the stack answers it with a reset. */
	if (!begins_connection(p) && !continues_connection(p))
		return NEXT;
	if (!ep)
		return drop(ctx, DROP_ENDPOINT_GONE, DIR_RECEIVE);
	publish_target(v6, pub, to->daddr);
	to->slot = pub->endpoint;
	to->dport = pub->port;
	to->kind = FLOW_PUBLISHED;
	return OPEN_INSIDE;
}

/* A packet of no known flow: a verdict, or OPEN_INSIDE with the scratch's inside filled. */
static __always_inline int decide(struct __sk_buff *ctx, bool v6, const struct packet *p)
{
	struct inside *to = new_inside();
	enum drop_reason reason;
	__u32 network;
	int action;

	if (!to || has_no_source(v6, p))
		return drop(ctx, DROP_MARTIAN, DIR_RECEIVE);
	reason = guard_outside(v6, p);
	if (reason)
		return drop(ctx, reason, DIR_RECEIVE);
	network = network_of_addr(v6, p->daddr);
	if (network != MAX_NETWORKS && !host_addr(v6, p->daddr))
		return direct(ctx, v6, p, network, to);
	action = published(ctx, v6, p, to);
	if (action == NEXT)
		host_hears(v6, p);
	return action;
}

__noinline int from_uplink_decide4(struct __sk_buff *ctx, const struct packet *p)
{
	return p ? decide(ctx, false, p) : TC_ACT_SHOT;
}

__noinline int from_uplink_decide6(struct __sk_buff *ctx, const struct packet *p)
{
	return p ? decide(ctx, true, p) : TC_ACT_SHOT;
}

__noinline int open_inside4(struct __sk_buff *ctx, const struct packet *p)
{
	struct scratch *s = scratch();

	return p && s ? open_inside(ctx, false, p, &s->inside) : TC_ACT_SHOT;
}

__noinline int open_inside6(struct __sk_buff *ctx, const struct packet *p)
{
	struct scratch *s = scratch();

	return p && s ? open_inside(ctx, true, p, &s->inside) : TC_ACT_SHOT;
}

/* A verdict, or OPEN. In two calls, one after the other, because one would need too much stack. */
static __always_inline int from_uplink_begin(struct __sk_buff *ctx, bool v6, const struct packet *p)
{
	int action = v6 ? from_uplink_decide6(ctx, p) : from_uplink_decide4(ctx, p);

	if (action != OPEN_INSIDE)
		return action;
	make_room(v6);
	return v6 ? open_inside6(ctx, p) : open_inside4(ctx, p);
}

/* The packet's flow, if the host doesn't hold what it borrows. */
static __always_inline enum flow_fate from_uplink_follow(struct __sk_buff *ctx, bool v6,
							 const struct packet *p, struct flow **f)
{
	if (is_told_by_use(v6, p->proto)) {
		if (v6)
			host_reclaims6(p);
		else
			host_reclaims4(p);
	}
	return flow_follow(ctx, v6, p, ZONE_WORLD, f);
}

/* A packet of no flow: a verdict, or OPEN. */
static __always_inline int from_uplink_new(struct __sk_buff *ctx, bool v6, const struct packet *p)
{
	int action = NEXT;

	if (p->flags & PKT_ICMP_ERROR)
		action = v6 ? translate_error6(ctx, p, ZONE_WORLD) :
			      translate_error4(ctx, p, ZONE_WORLD);
	return action == NEXT ? from_uplink_begin(ctx, v6, p) : action;
}

/*
 * What no flow and no published port can be meant by is the stack's, if its addresses may
 * come in. 0.0.0.0 may: who asks for an address by DHCP has none yet.
 */
static __always_inline int from_uplink_guarded(struct __sk_buff *ctx, bool v6,
					       const struct packet *p)
{
	enum drop_reason reason = guard_outside(v6, p);

	return reason ? drop(ctx, reason, DIR_RECEIVE) : NEXT;
}

/* In a frame to many: the stack takes it whatever address it is for. */
static __always_inline int from_uplink_many(struct __sk_buff *ctx, bool v6, struct packet *p)
{
	parse_ip(ctx, v6, p);
	return from_uplink_guarded(ctx, v6, p);
}

static __always_inline int from_uplink_ip(struct __sk_buff *ctx, bool v6, struct packet *p)
{
	enum flow_fate fate = FLOW_MISSING;
	enum drop_reason reason;
	struct flow *f = NULL;

	/* What we can't read is the stack's to judge: it is addressed to the host. */
	if (parse_ip(ctx, v6, p))
		return from_uplink_guarded(ctx, v6, p);
	if (!(p->flags & PKT_ICMP_ERROR)) {
		frag_resolve(v6, p, ZONE_WORLD);
		fate = from_uplink_follow(ctx, v6, p, &f);
	}
	if (fate == FLOW_LOST)
		return drop(ctx, DROP_FLOW_EXPIRING, DIR_RECEIVE);
	if (fate == FLOW_MISSING) {
		int action = from_uplink_new(ctx, v6, p);

		if (action != OPEN)
			return action;
		f = open_planned(ctx, v6, p, ZONE_WORLD, &reason);
		if (!f)
			return drop(ctx, reason, DIR_RECEIVE);
	}
	return apply(ctx, v6, p, f, ZONE_WORLD, DIR_RECEIVE);
}

static __always_inline int from_uplink_frame(struct __sk_buff *ctx)
{
	struct packet *p = new_packet();
	struct ethhdr *eth;
	bool many;

	mark_clear(ctx);
	switch (strip_priority_tags(ctx)) {
	case VLAN_NONE:
		break;
	case VLAN_TAGGED:
		/* A VLAN device on top of the uplink gets it; that one has programs of its own. */
		return NEXT;
	case VLAN_UNCLEAR:
		return drop(ctx, DROP_MALFORMED, DIR_RECEIVE);
	}
	/* Frames for other machines, seen in promiscuous mode, which the stack drops. */
	if (ctx->pkt_type == PACKET_OTHERHOST || !p)
		return NEXT;
	eth = data_of(ctx);
	if ((void *)(eth + 1) > data_end_of(ctx))
		return NEXT;
	many = ctx->pkt_type != PACKET_HOST;
	switch (eth->h_proto) {
	case bpf_htons(ETH_P_IP):
		return many ? from_uplink_many(ctx, false, p) : from_uplink_ip(ctx, false, p);
	case bpf_htons(ETH_P_IPV6):
		return many ? from_uplink_many(ctx, true, p) : from_uplink_ip(ctx, true, p);
	}
	return NEXT;
}

SEC("tc")
int from_uplink(struct __sk_buff *ctx)
{
	return count_verdict(ctx, PROG_FROM_UPLINK, from_uplink_frame(ctx));
}
