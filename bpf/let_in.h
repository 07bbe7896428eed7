/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* First-packet mode, where packets come out of the stack towards a container. */
#pragma once

#include "open.h"

/* Enters the flow of a packet that from_uplink presented and netfilter let in. */
static __always_inline enum drop_reason open_presented(struct __sk_buff *ctx, bool v6,
						       struct packet *p, struct inside *to)
{
	struct flow_plan *plan = new_plan();
	struct flow6_key *key = new_key();
	__be16 sport = p->sport;
	struct presented *was;
	enum drop_reason reason;
	struct flow *f;

	if (!plan || !key)
		return DROP_NO_FLOW;
	addr_copy(v6, plan->saddr, p->saddr);
	addr_copy(v6, plan->daddr, p->daddr);
	plan->sport = p->sport;
	plan->dport = p->dport;
	presented_key(v6, key, p, plan, echo_of(p));
	was = bpf_map_lookup_elem(&presented, key);
	if (!was)
		return DROP_NO_FLOW;
	addr_copy(v6, to->daddr, p->daddr);
	to->dport = p->dport;
	to->kind = was->kind;
	addr_copy(v6, p->daddr, was->daddr);
	p->sport = was->sport;
	p->dport = was->dport;
	reason = plan_inside(ctx, v6, p, to, plan);
	if (reason)
		return reason;
	plan->sport = sport;
	reason = share_check(v6, plan);
	if (!reason)
		reason = flow_claim(ctx, v6, p, plan);
	if (!reason)
		reason = flow_complete(ctx, v6, p, plan);
	if (reason) {
		count_refused(plan->reply_endpoint, reason);
		return reason;
	}
	f = flow_find(v6, p, ZONE_WORLD);
	if (f)
		flow_settle(ctx, p, f, NULL);
	return DROP_NONE;
}

__noinline int open_presented4(struct __sk_buff *ctx, struct packet *p)
{
	struct scratch *s = scratch();

	return p && s ? open_presented(ctx, false, p, &s->inside) : DROP_NO_FLOW;
}

__noinline int open_presented6(struct __sk_buff *ctx, struct packet *p)
{
	struct scratch *s = scratch();

	return p && s ? open_presented(ctx, true, p, &s->inside) : DROP_NO_FLOW;
}

/* The flow of a packet that netfilter let in: entered before, or none. */
static __always_inline bool let_in_known(struct __sk_buff *ctx, bool v6, struct packet *p)
{
	struct flow *reply, *f;

	reverse(v6, p);
	reply = flow_find(v6, p, ZONE_CONTAINER);
	f = reply ? flow_twin(v6, reply, p) : NULL;
	reverse(v6, p);
	if (!reply)
		return false;
	if (f)
		flow_settle(ctx, p, f, reply);
	return true;
}

__noinline int let_in_known4(struct __sk_buff *ctx, struct packet *p)
{
	return p ? let_in_known(ctx, false, p) : false;
}

__noinline int let_in_known6(struct __sk_buff *ctx, struct packet *p)
{
	return p ? let_in_known(ctx, true, p) : false;
}

/*
 * A packet that from_uplink left to the stack came out of it. Later fragments belong
 * to what passed before them.
 */
static __always_inline int let_in(struct __sk_buff *ctx, bool v6, __u32 slot)
{
	struct packet *p = new_packet();
	struct inside *to = new_inside();
	enum drop_reason reason;

	if (!p || !to)
		return TC_ACT_SHOT;
	reason = parse_ip(ctx, v6, p);
	if (reason)
		return drop(ctx, reason, DIR_RECEIVE);
	if (p->flags & PKT_LATER_FRAGMENT)
		return NEXT;
	if (v6 ? let_in_known6(ctx, p) : let_in_known4(ctx, p))
		return NEXT;
	to->slot = slot;
	make_room(v6);
	reason = v6 ? open_presented6(ctx, p) : open_presented4(ctx, p);
	return reason ? drop(ctx, reason, DIR_RECEIVE) : NEXT;
}

static __always_inline int netfilter_let_in(struct __sk_buff *ctx, __u32 slot)
{
	int action;

	switch (ctx->protocol) {
	case bpf_htons(ETH_P_IP):
		action = let_in(ctx, false, slot);
		break;
	case bpf_htons(ETH_P_IPV6):
		action = let_in(ctx, true, slot);
		break;
	default:
		return drop(ctx, DROP_DIRECT_ROUTING, DIR_RECEIVE);
	}
	mark_clear(ctx);
	return action;
}
