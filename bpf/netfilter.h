/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * First-packet mode: the rules that the host has in FORWARD judge what goes between
 * containers and outside.
 *
 * A packet that is to be judged is left to the host's stack, on the container's
 * side of all translation: what comes from outside is translated before, at the
 * uplink's ingress, what leaves is translated after, at its egress. A flow is
 * entered in the tables where a packet comes out of the stack, and nowhere else, so
 * what netfilter drops fills nothing.
 *
 * Each direction is judged for itself. A packet that comes out settles its
 * direction if the other one has passed too, under the same generation of the
 * rules; what follows goes past the stack. Judged again is
 *   - the first packet in each second, by flow_touch(): changes of rules that no
 *     event tells of are noticed, and conntrack's entry stays alive;
 *   - everything after the control plane noticed a change (rules_generation);
 *   - SYN, FIN and RST, so that conntrack sees how connections begin and end.
 * A TCP connection is settled from its first acknowledgement on, no sooner, so that
 * conntrack takes it for established.
 */
#pragma once

#include "frag.h"
#include "marks.h"
#include "nat.h"
#include "plan.h"

/* Source ports that are tried so that two flows of a client don't look alike. */
#define PRESENT_TRIES 8

static __always_inline __u16 rules_generation(void)
{
	__u32 zero = 0;
	struct host_state *state = bpf_map_lookup_elem(&host_state, &zero);

	return state ? state->rules_generation : 0;
}

/* Leaves a packet to the stack for netfilter to judge. */
static __always_inline int netfilter_ask(struct __sk_buff *ctx)
{
	mark_asked(ctx, rules_generation());
	return NEXT;
}

/* Whether the packets of the entry go between a container and outside. */
static __always_inline bool flow_crosses(const struct flow *f, __u16 zone)
{
	return zone == ZONE_WORLD || f->action != FLOW_DELIVER;
}

static __always_inline bool flow_is_settled(const struct packet *p, const struct flow *f)
{
	if (p->proto == IPPROTO_TCP && p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST))
		return false;
	return f->netfilter == (__u16)(rules_generation() << FLOW_RULES_SHIFT | FLOW_SETTLED);
}

/* Leaves a packet of a known flow to the stack, as a container would see it. */
static __always_inline int flow_ask(struct __sk_buff *ctx, bool v6, const struct packet *p,
				    const struct flow *f, __u16 zone)
{
	const struct macs macs = {};

	/* Opened before there was this mode: the stack would take it for the host's own. */
	if (zone == ZONE_WORLD && f->action == FLOW_FORWARD)
		return NEXT;
	if (zone == ZONE_WORLD && flow_rewrite(ctx, v6, p, f, &macs, false))
		return dropped(DROP_REWRITE_FAILED);
	return netfilter_ask(ctx);
}

/* A packet of f's direction came out of the stack. */
static __always_inline void flow_settle(const struct __sk_buff *ctx, const struct packet *p,
					struct flow *f, const struct flow *twin)
{
	__u16 generation = rules_generation();

	if (!was_asked_under(ctx, generation) || p->flags & PKT_LATER_FRAGMENT)
		return;
	if (p->proto == IPPROTO_TCP && (p->tcp_flags & (TCP_ACK | TCP_RST)) != TCP_ACK)
		return;
	f->netfilter = generation << FLOW_RULES_SHIFT |
		       (twin && twin->netfilter >> FLOW_RULES_SHIFT == generation);
}

/* A packet of a container's that netfilter let out, still as the container sent it. */
static __always_inline int let_out(struct __sk_buff *ctx, bool v6, const struct packet *p,
				   __u16 zone)
{
	struct flow *f = flow_find(v6, p, zone);

	if (f)
		flow_settle(ctx, p, f, flow_twin(v6, f, p));
	return 0;
}

__noinline int netfilter_let_out4(struct __sk_buff *ctx, const struct packet *p, __u32 zone)
{
	return p ? let_out(ctx, false, p, zone) : 0;
}

__noinline int netfilter_let_out6(struct __sk_buff *ctx, const struct packet *p, __u32 zone)
{
	return p ? let_out(ctx, true, p, zone) : 0;
}

static __always_inline void netfilter_let_out(struct __sk_buff *ctx, bool v6,
					      const struct packet *p, __u16 zone)
{
	if (v6)
		netfilter_let_out6(ctx, p, zone);
	else
		netfilter_let_out4(ctx, p, zone);
}

/* As the container would see the packet, in the plan's twin_zone, the container's network. */
static __always_inline void presented_key(bool v6, struct flow6_key *key, const struct packet *p,
					  const struct flow_plan *plan, __u8 echo)
{
	__builtin_memset(key, 0, sizeof(*key));
	if (v6) {
		addr6_copy(key->saddr, plan->saddr);
		addr6_copy(key->daddr, plan->daddr);
		key->sport = plan->sport;
		key->dport = plan->dport;
		key->zone = plan->twin_zone;
		key->proto = p->proto;
	} else {
		struct flow4_key *key4 = (struct flow4_key *)key;

		key4->saddr = plan->saddr[0];
		key4->daddr = plan->daddr[0];
		key4->sport = plan->sport;
		key4->dport = plan->dport;
		key4->zone = plan->twin_zone;
		key4->proto = p->proto;
		key4->echo = echo;
	}
	/* Tells the families apart, too: an IPv4 key ends before it. */
	key->echo = echo | (1 + v6);
}

/* Whether another flow's replies look like those of the planned one. */
static __always_inline bool reply_is_taken(bool v6, const struct packet *p,
					   const struct flow_plan *plan)
{
	if (v6) {
		struct flow6_key *key = new_key();

		if (!key)
			return false;
		flow6_reply_key(key, p, plan);
		return bpf_map_lookup_elem(&flows6, key);
	} else {
		struct flow4_key key;

		flow4_reply_key(&key, p, plan);
		return bpf_map_lookup_elem(&flows4, &key);
	}
}

static __always_inline int choose_presented_port(bool v6, const struct packet *p,
						 struct flow_plan *plan)
{
	__u32 start = bpf_get_prandom_u32();
	int i;

	plan->sport = p->sport;
	if (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP)
		return 0;
	for (i = 0; i < PRESENT_TRIES && reply_is_taken(v6, p, plan); i++)
		plan->sport = bpf_htons(1024 + (start + i) % 64512);
	return 0;
}

/*
 * What may become a flow from outside: translated as planned, and remembered for as
 * long as it takes to come out of the stack, if it does.
 */
static __always_inline int present(struct __sk_buff *ctx, bool v6, const struct packet *p,
				   struct flow_plan *plan)
{
	struct presented was = {
		.sport = p->sport,
		.dport = p->dport,
		.backend = plan->backend,
		.kind = plan->kind,
	};
	const struct macs macs = {};
	struct flow6_key *key;
	struct flow6 *f;

	choose_presented_port(v6, p, plan);
	addr_copy(v6, was.daddr, p->daddr);
	key = new_key();
	f = new_flow();
	if (!key || !f)
		return TC_ACT_SHOT;
	presented_key(v6, key, p, plan, echo_of(p));
	bpf_map_update_elem(&presented, key, &was, BPF_ANY);
	flow_fill_origin(v6, ctx, p, plan, &f->flow);
	if (v6) {
		addr6_copy(f->saddr, plan->saddr);
		addr6_copy(f->daddr, plan->daddr);
	} else {
		((struct flow4 *)f)->saddr = plan->saddr[0];
		((struct flow4 *)f)->daddr = plan->daddr[0];
	}
	if (flow_rewrite(ctx, v6, p, &f->flow, &macs, false))
		return dropped(DROP_REWRITE_FAILED);
	return netfilter_ask(ctx);
}

__noinline int netfilter_present4(struct __sk_buff *ctx, const struct packet *p)
{
	struct scratch *s = scratch();

	return p && s ? present(ctx, false, p, &s->plan) : TC_ACT_SHOT;
}

__noinline int netfilter_present6(struct __sk_buff *ctx, const struct packet *p)
{
	struct scratch *s = scratch();

	return p && s ? present(ctx, true, p, &s->plan) : TC_ACT_SHOT;
}

/* The plan is the scratch's. */
static __always_inline int netfilter_present(struct __sk_buff *ctx, bool v6, const struct packet *p)
{
	struct scratch *s = scratch();

	if (!s)
		return TC_ACT_SHOT;
	frag_remember(v6, p, ZONE_WORLD, s->plan.origin_endpoint);
	return v6 ? netfilter_present6(ctx, p) : netfilter_present4(ctx, p);
}
