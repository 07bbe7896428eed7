// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Ingress of an uplink: everything from outside. Stages: is it for a known
 * flow, must it not come in, is it for a published port; else it is the host's.
 */
#include "judge.h"
#include "open.h"
#include "park.h"

/* What a look at addresses and ports says beside verdicts: led inside, perhaps. */
#define OPEN_INSIDE (-3)

/* Straight to a container's address, past the published ports. */
static __always_inline int direct(struct __sk_buff *ctx, bool v6, const struct packet *p,
				  struct inside *to)
{
	struct network *net = network_at(to->network);

	if (!net)
		return dropped(DROP_DIRECT_ROUTING);
	if (net->flags & NETWORK_INTERNAL)
		return dropped(DROP_INTERNAL);
	if (first_packet && p->flags & PKT_RESOLVED)
		return netfilter_ask(ctx);
	if (is_orphan(p) && may_admit(v6, to->network, net, ctx->ifindex))
		return PARK;
	if (p->flags & PKT_LATER_FRAGMENT || !admits(v6, p, to->network, net, ctx->ifindex))
		return dropped(DROP_DIRECT_ROUTING);
	if (!endpoint_of_addr(v6, to->network, p->daddr, &to->slot))
		return dropped(DROP_ENDPOINT_GONE);
	addr_copy(v6, to->daddr, p->daddr);
	to->dport = p->dport;
	to->kind = FLOW_ROUTED;
	return OPEN_INSIDE;
}

/* To an address of the host: a published port, or NEXT, none of our business. */
static __always_inline int published(struct __sk_buff *ctx, bool v6, const struct packet *p,
				     struct inside *to)
{
	struct client client = client_of(v6, p);
	struct published *pub;
	struct endpoint *ep;

	/* Neither a beginning nor a middle: the stack answers it with a reset. */
	if (!begins_connection(p) && !continues_connection(p))
		return NEXT;
	/* The stack would take what it is to pass on for the host's own. */
	if (!first_packet)
		client.reach = REACH_RELAY;
	pub = publish_resolve(v6, p->daddr, p->dport, p->proto, FOR_PACKET, 0, &client, &ep);
	if (!pub)
		return NEXT;
	to->kind = publish_is_outside(pub) ? FLOW_RELAY : FLOW_PUBLISHED;
	if (!ep && to->kind == FLOW_PUBLISHED)
		return publish_is_vacant(pub) ?
			       reply_no_backend(ctx, PROG_FROM_UPLINK, v6, p, client.why) :
			       dropped(DROP_ENDPOINT_GONE);
	/* Its source doesn't follow from the packet: the stack resets the middle of nothing. */
	if (to->kind == FLOW_RELAY && !begins_connection(p))
		return NEXT;
	publish_target(v6, pub, to->daddr);
	to->slot = pub->endpoint;
	to->dport = pub->port;
	to->backend = client.backend;
	return OPEN_INSIDE;
}

/*
 * A packet of no known flow. The scratch's inside tells the network whose address it is for,
 * which no address of the host is.
 */
static __always_inline int uplink_new(struct __sk_buff *ctx, bool v6)
{
	struct packet *p = the_packet();
	struct inside *to = the_inside();
	int action;

	if (!p || !to)
		return TC_ACT_SHOT;
	if (to->network != MAX_NETWORKS)
		action = direct(ctx, v6, p, to);
	else
		action = published(ctx, v6, p, to);
	if (action == NEXT)
		host_hears(v6, p);
	if (action == OPEN_INSIDE)
		action = open_inside(ctx, v6, p, to);
	if (action == PARK)
		return go_on_parking(ctx, PROG_FROM_UPLINK, v6, false);
	return action == OPEN ? go_on_as(ctx, PROG_FROM_UPLINK, v6, CALL_ENTER) : action;
}

SEC("tc")
int uplink_new4(struct __sk_buff *ctx)
{
	return leave_first(ctx, PROG_FROM_UPLINK, false, uplink_new(ctx, false));
}

SEC("tc")
int uplink_new6(struct __sk_buff *ctx)
{
	return leave_first(ctx, PROG_FROM_UPLINK, true, uplink_new(ctx, true));
}

/*
 * What can't be read, or is for many, is the stack's to judge, if its addresses may come in.
 * 0.0.0.0 may: who asks for an address by DHCP has none yet.
 */
static __always_inline int from_uplink_guarded(bool v6, const struct packet *p)
{
	enum drop_reason reason = guard_outside(v6, p);

	return reason ? dropped(reason) : NEXT;
}

/*
 * many: in a frame to many, which the stack takes whatever address it is for.
 */
static __always_inline int from_uplink_ip(struct __sk_buff *ctx, bool v6, struct packet *p,
					  bool many)
{
	struct endpoint *ep;
	struct flow *f;

	if (parse_l3(ctx, v6, p) || many)
		return from_uplink_guarded(v6, p);
	if (!is_plain(v6, p) || is_told_by_use(v6, p->proto))
		return go_on(ctx, v6, CALL_UPLINK_ODD);
	if (parse_transport(ctx, v6, p))
		return from_uplink_guarded(v6, p);
	if (p->flags & PKT_ICMP_ERROR)
		return go_on_as(ctx, PROG_FROM_UPLINK, v6, CALL_ERROR);
	switch (flow_look(ctx, v6, p, ZONE_WORLD, &f, &ep)) {
	case FLOW_FOUND:
		return apply(ctx, v6, p, f, ZONE_WORLD, ep);
	case FLOW_LOST:
		return dropped(DROP_FLOW_EXPIRING);
	case FLOW_SUPERSEDED:
		return go_on(ctx, v6, CALL_UPLINK_ODD);
	case FLOW_MISSING:
		break;
	}
	return judge(ctx, v6, p);
}

/* The packet's flow, if the host doesn't hold what it borrows. */
static __always_inline enum flow_fate uplink_follow(struct __sk_buff *ctx, bool v6,
						    struct packet *p, struct flow **f,
						    struct endpoint **ep)
{
	frag_resolve(v6, p, ZONE_WORLD);
	if (is_told_by_use(v6, p->proto)) {
		if (v6)
			host_reclaims6(p);
		else
			host_reclaims4(p);
	}
	return flow_follow(ctx, v6, p, ZONE_WORLD, f, ep);
}

/*
 * A packet of no flow. A later fragment to an address of the host may be for a container,
 * too, if its first one hasn't come.
 */
static __always_inline int judge_odd(struct __sk_buff *ctx, bool v6, const struct packet *p)
{
	int action = judge(ctx, v6, p);

	if (action != NEXT || !(p->flags & PKT_FRAGMENT) || !host_addr(v6, p->daddr))
		return action;
	if (is_orphan(p))
		return go_on_parking(ctx, PROG_FROM_UPLINK, v6, true);
	frag_remember_own(v6, p, ZONE_WORLD);
	return action;
}

/* What from_uplink_ip() leaves here; the IP header is parsed. */
static __always_inline int uplink_odd(struct __sk_buff *ctx, bool v6)
{
	struct packet *p = the_packet();
	enum flow_fate fate;
	struct endpoint *ep;
	struct flow *f;

	frag_begin();
	if (!p)
		return TC_ACT_SHOT;
	if (parse_rest(ctx, v6, p))
		return from_uplink_guarded(v6, p);
	if (p->flags & PKT_ICMP_ERROR)
		return go_on_as(ctx, PROG_FROM_UPLINK, v6, CALL_ERROR);
	fate = uplink_follow(ctx, v6, p, &f, &ep);
	if (fate == FLOW_FOUND)
		return apply_any(ctx, v6, p, f, ZONE_WORLD, ep);
	return fate == FLOW_LOST ? dropped(DROP_FLOW_EXPIRING) : judge_odd(ctx, v6, p);
}

SEC("tc")
int uplink_odd4(struct __sk_buff *ctx)
{
	return leave_first(ctx, PROG_FROM_UPLINK, false, uplink_odd(ctx, false));
}

SEC("tc")
int uplink_odd6(struct __sk_buff *ctx)
{
	return leave_first(ctx, PROG_FROM_UPLINK, true, uplink_odd(ctx, true));
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
		return dropped(DROP_MALFORMED);
	}
	/* Frames for other machines, seen in promiscuous mode, which the stack drops. */
	if (ctx->pkt_type == PACKET_OTHERHOST || !p)
		return NEXT;
	eth = data_of(ctx);
	if ((void *)(eth + 1) > data_end_of(ctx))
		return NEXT;
	many = ctx->pkt_type != PACKET_HOST;
	switch (ether_type(eth)) {
	case bpf_htons(ETH_P_IP):
		return from_uplink_ip(ctx, false, p, many);
	case bpf_htons(ETH_P_IPV6):
		return from_uplink_ip(ctx, true, p, many);
	}
	return NEXT;
}

SEC("tc")
int from_uplink(struct __sk_buff *ctx)
{
	return leave(ctx, PROG_FROM_UPLINK, from_uplink_frame(ctx));
}
