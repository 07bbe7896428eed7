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
	plan->twin_zone = to->network;
	presented_key(v6, key, p, plan, echo_of(p));
	was = bpf_map_lookup_elem(&presented, key);
	if (!was)
		return DROP_NO_FLOW;
	addr_copy(v6, to->daddr, p->daddr);
	to->dport = p->dport;
	to->kind = was->kind;
	to->backend = was->backend;
	addr_copy(v6, p->daddr, was->daddr);
	p->sport = was->sport;
	p->dport = was->dport;
	reason = plan_inside(ctx, v6, p, to, plan, false);
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

/* The flow of a packet that netfilter let in: entered before, or none. */
static __always_inline bool let_in_known(struct __sk_buff *ctx, bool v6, struct packet *p,
					 __u16 zone)
{
	struct flow *reply, *f;

	reverse(v6, p);
	reply = flow_find(v6, p, zone);
	f = reply ? flow_twin(v6, reply, p) : NULL;
	reverse(v6, p);
	if (!reply)
		return false;
	if (f)
		flow_settle(ctx, p, f, reply);
	return true;
}

/*
 * A packet that from_uplink left to the stack came out of it. Later fragments belong
 * to what passed before them.
 */
static __always_inline int let_in(struct __sk_buff *ctx, bool v6, __u32 slot,
				  const struct endpoint *ep)
{
	struct packet *p = new_packet();
	struct inside *to = new_inside();
	enum drop_reason reason;

	if (!p || !to)
		return TC_ACT_SHOT;
	to->slot = slot;
	to->network = ep->network;
	reason = parse_ip(ctx, v6, p);
	if (reason)
		return dropped(reason);
	if (p->flags & PKT_LATER_FRAGMENT || let_in_known(ctx, v6, p, to->network))
		return NEXT;
	make_room(v6);
	reason = open_presented(ctx, v6, p, to);
	return reason ? dropped(reason) : NEXT;
}
