/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the plan of a connection (scratch.h) makes of its entries in the flow table. */
#pragma once

#include "scratch.h"
#include "track.h"

static __always_inline __u16 route_generation(void)
{
	__u32 zero = 0;
	struct host_state *state = bpf_map_lookup_elem(&host_state, &zero);

	return state ? state->route_generation : 0;
}

/* A route whose MTU isn't known yet counts as outdated: the next packet asks again. */
static __always_inline __u16 route_generation_of(const struct flow_plan *plan)
{
	return route_generation() - !plan->mtu;
}

static __always_inline __u8 flow_flags_of(bool v6, const struct packet *p,
					  const struct flow_plan *plan)
{
	__u8 flags = plan->kind << FLOW_KIND_SHIFT;

	if (p->sport != plan->sport || p->dport != plan->dport)
		flags |= FLOW_PORTS | FLOW_REWRITE;
	if (!addr_equal(v6, p->saddr, plan->saddr) || !addr_equal(v6, p->daddr, plan->daddr))
		flags |= FLOW_REWRITE;
	return flags;
}

static __always_inline void flow_fill_origin(bool v6, const struct __sk_buff *ctx,
					     const struct packet *p, const struct flow_plan *plan,
					     struct flow *f)
{
	f->last_seen = flow_now();
	f->state = FLOW_SEEN;
	if (p->proto == IPPROTO_TCP) {
		f->state |= p->tcp_flags & TCP_SYN ? FLOW_SYN : FLOW_ACK;
		f->tcp_ack = p->tcp_ack;
		f->tcp_end = tcp_end(ctx, p);
	} else {
		*flow_begun(f) = f->last_seen;
	}
	f->oif = plan->twin_zone == ZONE_WORLD ? plan->oif : plan->twin_zone;
	f->nexthop = plan->hop;
	f->route_generation = route_generation_of(plan);
	f->sport = plan->sport;
	f->dport = plan->dport;
	f->endpoint = plan->origin_endpoint;
	f->endpoint_generation = plan->origin_generation;
	f->mtu = plan->mtu;
	f->action = plan->origin_action;
	f->flags = flow_flags_of(v6, p, plan) | FLOW_ORIGIN |
		   (plan->twin_zone == ZONE_WORLD ? FLOW_TWIN_WORLD : 0);
}

/* Turns an origin's entry into its twin: the inverse translation, for packets not seen yet. */
static __always_inline void flow_flip(const struct packet *p, const struct flow_plan *plan,
				      struct flow *f)
{
	f->state = 0;
	f->tcp_ack = plan->backend;
	f->tcp_end = 0;
	f->sport = p->dport;
	f->dport = p->sport;
	f->endpoint = plan->reply_endpoint;
	f->endpoint_generation = plan->reply_generation;
	f->action = plan->reply_action;
	f->flags &= ~(FLOW_ORIGIN | FLOW_TWIN_WORLD);
	if (plan->zone == ZONE_WORLD)
		f->flags |= FLOW_TWIN_WORLD;
	f->oif = plan->zone == ZONE_WORLD ? plan->oif : plan->zone;
	/* The plan's way is the origin's. */
	if (plan->kind == FLOW_RELAY)
		f->nexthop = 0;
}

static __always_inline void flow4_reply_key(struct flow4_key *key, const struct packet *p,
					    const struct flow_plan *plan)
{
	key->saddr = plan->daddr[0];
	key->daddr = plan->saddr[0];
	key->sport = plan->dport;
	key->dport = plan->sport;
	key->zone = plan->twin_zone;
	key->proto = p->proto;
	key->echo = echo_twin(echo_of(p));
}

static __always_inline void flow6_reply_key(struct flow6_key *key, const struct packet *p,
					    const struct flow_plan *plan)
{
	addr6_copy(key->saddr, plan->daddr);
	addr6_copy(key->daddr, plan->saddr);
	key->sport = plan->dport;
	key->dport = plan->sport;
	key->zone = plan->twin_zone;
	key->proto = p->proto;
	key->echo = echo_twin(echo_of(p));
}
