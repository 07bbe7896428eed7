/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Entering a connection that open.h has planned: the reply entry first, whose
 * insertion claims the tuple, then the origin's.
 */
#pragma once

#include "early_drop.h"
#include "plan.h"

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
