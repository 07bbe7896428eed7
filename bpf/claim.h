/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Entering a connection that open.h has planned: the reply entry first, whose
 * insertion claims the tuple, then the origin's.
 */
#pragma once

#include "csum.h"
#include "early_drop.h"
#include "flow.h"
#include "scratch.h"
#include "track.h"

#define EEXIST 17

static __always_inline enum drop_reason table_full(bool v6)
{
	pressure_begin(v6);
	return DROP_FLOW_TABLE_FULL;
}

/* DROP_NONE, or that the endpoint which would answer for the flow has its share. */
static __always_inline enum drop_reason share_check(bool v6, const struct flow_plan *plan)
{
	if (!flow_share_is_taken(v6, plan->reply_endpoint))
		return DROP_NONE;
	pressure_begin(v6);
	return DROP_FLOW_SHARE;
}

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
	f->oif = plan->oif;
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
	f->tcp_ack = 0;
	f->tcp_end = 0;
	f->sport = p->dport;
	f->dport = p->sport;
	f->endpoint = plan->reply_endpoint;
	f->endpoint_generation = plan->reply_generation;
	f->action = plan->reply_action;
	f->flags &= ~(FLOW_ORIGIN | FLOW_TWIN_WORLD);
	if (plan->zone == ZONE_WORLD)
		f->flags |= FLOW_TWIN_WORLD;
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

static __always_inline long flow4_insert_reply(const struct __sk_buff *ctx, const struct packet *p,
					       const struct flow_plan *plan)
{
	struct flow4 *f = (struct flow4 *)new_flow();
	struct flow4_key key;
	long err;

	if (!f)
		return -1;
	flow_fill_origin(false, ctx, p, plan, &f->flow);
	flow_flip(p, plan, &f->flow);
	f->saddr = p->daddr[0];
	f->daddr = p->saddr[0];
	f->nexthop = plan->nexthop[0];
	flow4_reply_key(&key, p, plan);
	err = bpf_map_update_elem(&flows4, &key, f, BPF_NOEXIST);
	if (!err)
		count_reply4(&key, plan->kind, plan->reply_endpoint, true);
	return err;
}

static __always_inline long flow4_insert_origin(const struct __sk_buff *ctx, const struct packet *p,
						const struct flow_plan *plan)
{
	struct flow4 *f = (struct flow4 *)new_flow();
	struct flow4_key key;
	long err;

	if (!f)
		return -1;
	flow_fill_origin(false, ctx, p, plan, &f->flow);
	f->saddr = plan->saddr[0];
	f->daddr = plan->daddr[0];
	f->nexthop = plan->nexthop[0];
	flow4_key_of(&key, p, plan->zone);
	err = bpf_map_update_elem(&flows4, &key, f, BPF_NOEXIST);
	if (!err)
		remember4(&key);
	return err;
}

static __always_inline void flow4_remove_reply(const struct packet *p, const struct flow_plan *plan)
{
	struct flow4_key key;

	flow4_reply_key(&key, p, plan);
	if (!bpf_map_delete_elem(&flows4, &key))
		count_reply4(&key, plan->kind, plan->reply_endpoint, false);
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

static __always_inline long flow6_insert_reply(const struct __sk_buff *ctx, const struct packet *p,
					       const struct flow_plan *plan)
{
	struct flow6_key *key = new_key();
	struct flow6 *f = new_flow();
	long err;

	if (!f || !key)
		return -1;
	flow_fill_origin(true, ctx, p, plan, &f->flow);
	flow_flip(p, plan, &f->flow);
	addr6_copy(f->saddr, p->daddr);
	addr6_copy(f->daddr, p->saddr);
	addr6_copy(f->nexthop, plan->nexthop);
	flow6_reply_key(key, p, plan);
	err = bpf_map_update_elem(&flows6, key, f, BPF_NOEXIST);
	if (!err)
		count_reply6(key, plan->kind, plan->reply_endpoint, true);
	return err;
}

static __always_inline long flow6_insert_origin(const struct __sk_buff *ctx, const struct packet *p,
						const struct flow_plan *plan)
{
	struct flow6_key *key = new_key();
	struct flow6 *f = new_flow();
	long err;

	if (!f || !key)
		return -1;
	flow_fill_origin(true, ctx, p, plan, &f->flow);
	addr6_copy(f->saddr, plan->saddr);
	addr6_copy(f->daddr, plan->daddr);
	addr6_copy(f->nexthop, plan->nexthop);
	flow6_key_of(key, p, plan->zone);
	err = bpf_map_update_elem(&flows6, key, f, BPF_NOEXIST);
	if (!err)
		remember6(key);
	return err;
}

static __always_inline void flow6_remove_reply(const struct packet *p, const struct flow_plan *plan)
{
	struct flow6_key key;

	flow6_reply_key(&key, p, plan);
	if (!bpf_map_delete_elem(&flows6, &key))
		count_reply6(&key, plan->kind, plan->reply_endpoint, false);
}

/*
 * Claims the reply tuple. DROP_NONE: claimed; DROP_NO_PORT: taken by another
 * flow, try another source port; DROP_FLOW_TABLE_FULL.
 */
__noinline int flow4_claim(struct __sk_buff *ctx, const struct packet *p,
			   const struct flow_plan *plan)
{
	long err;

	if (!p || !plan)
		return DROP_MALFORMED;
	err = flow4_insert_reply(ctx, p, plan);
	if (!err)
		return DROP_NONE;
	return err == -EEXIST ? DROP_NO_PORT : table_full(false);
}

__noinline int flow6_claim(struct __sk_buff *ctx, const struct packet *p,
			   const struct flow_plan *plan)
{
	long err;

	if (!p || !plan)
		return DROP_MALFORMED;
	err = flow6_insert_reply(ctx, p, plan);
	if (!err)
		return DROP_NONE;
	return err == -EEXIST ? DROP_NO_PORT : table_full(true);
}

static __always_inline enum drop_reason flow_claim(struct __sk_buff *ctx, bool v6,
						   const struct packet *p,
						   const struct flow_plan *plan)
{
	return v6 ? flow6_claim(ctx, p, plan) : flow4_claim(ctx, p, plan);
}

/*
 * Inserts the origin entry of a claimed flow. If another CPU opened the same
 * flow meanwhile, its entry stands and this CPU's claim is withdrawn.
 */
__noinline int flow4_complete(struct __sk_buff *ctx, const struct packet *p,
			      const struct flow_plan *plan)
{
	long err;

	if (!p || !plan)
		return DROP_MALFORMED;
	err = flow4_insert_origin(ctx, p, plan);

	if (!err)
		return DROP_NONE;
	flow4_remove_reply(p, plan);
	return err == -EEXIST ? DROP_NONE : table_full(false);
}

__noinline int flow6_complete(struct __sk_buff *ctx, const struct packet *p,
			      const struct flow_plan *plan)
{
	long err;

	if (!p || !plan)
		return DROP_MALFORMED;
	err = flow6_insert_origin(ctx, p, plan);

	if (!err)
		return DROP_NONE;
	flow6_remove_reply(p, plan);
	return err == -EEXIST ? DROP_NONE : table_full(true);
}

static __always_inline enum drop_reason flow_complete(struct __sk_buff *ctx, bool v6,
						      const struct packet *p,
						      const struct flow_plan *plan)
{
	return v6 ? flow6_complete(ctx, p, plan) : flow4_complete(ctx, p, plan);
}
