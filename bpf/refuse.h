/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * First-packet mode: what the host's stack answers outside about packets that were
 * translated before it saw them. That is REJECT, in the main: an ICMP error, or a
 * reset in the container's name. Whoever is answered knows the address that it asked,
 * and no container; so the translation is undone, whether a flow has it or, for what
 * netfilter let in never, only the table of what was presented.
 */
#pragma once

#include "icmp.h"

/* The translation of answers to what was presented, in the scratch's flow. zone is p's. */
static __always_inline struct flow *presented_answer(bool v6, const struct packet *p, __u16 zone)
{
	struct flow_plan *plan = new_plan();
	struct flow6_key *key = new_key();
	struct flow6 *f = new_flow();
	struct presented *was;

	if (!plan || !key || !f)
		return NULL;
	addr_copy(v6, plan->saddr, p->daddr);
	addr_copy(v6, plan->daddr, p->saddr);
	plan->sport = p->dport;
	plan->dport = p->sport;
	plan->twin_zone = zone;
	presented_key(v6, key, p, plan, echo_twin(echo_of(p)));
	was = bpf_map_lookup_elem(&presented, key);
	if (!was)
		return NULL;
	f->flow.sport = was->dport;
	f->flow.dport = was->sport;
	f->flow.flags = FLOW_REWRITE | FLOW_PORTS;
	if (v6) {
		addr6_copy(f->saddr, was->daddr);
		addr6_copy(f->daddr, p->daddr);
	} else {
		((struct flow4 *)f)->saddr = was->daddr[0];
		((struct flow4 *)f)->daddr = p->daddr[0];
	}
	return &f->flow;
}

/* A reset for a connection that was never let in. p has the address of the zone's container. */
static __always_inline int refuse_reset(struct __sk_buff *ctx, bool v6, const struct packet *p,
					__u16 zone)
{
	const struct flow *f = presented_answer(v6, p, zone);
	const struct macs macs = {};

	if (!f)
		return dropped(DROP_NO_FLOW);
	if (flow_rewrite(ctx, v6, p, f, &macs, false))
		return dropped(DROP_REWRITE_FAILED);
	return NEXT;
}

/* Whether the packet may be netfilter's reset: made here, in the name of a container. */
static __always_inline bool is_refusal(const struct __sk_buff *ctx, const struct packet *p)
{
	return first_packet && !ctx->ingress_ifindex && p->proto == IPPROTO_TCP &&
	       p->tcp_flags & TCP_RST;
}

/* Makes the address that was asked the speaker. The TTL is that of a first hop already. */
static __always_inline int refuse_outer(struct __sk_buff *ctx, bool v6, const struct packet *p,
					const struct flow *f, __u32 quote_sum)
{
	__u32 check = (p->l4_off & MAX_L4_OFF) + 2, diff;
	__be32 saddr[4], daddr[4];

	flow_addrs(v6, f, saddr, daddr);
	diff = csum_addr_diff(v6, p->saddr, saddr);
	if (store_addr(ctx, v6, ETH_HLEN + (v6 ? 8 : 12), saddr))
		return -1;
	if (!v6 && patch_checksum(ctx, ETH_HLEN + offsetof(struct iphdr, check), diff))
		return -1;
	if (v6 && csum_address(ctx, true, check, IPPROTO_ICMPV6, diff))
		return -1;
	return csum_payload(ctx, check, p->proto, quote_sum);
}

/* An error of the host's own: translated if it is about a packet that was, else NEXT. */
static __always_inline int refuse_error(struct __sk_buff *ctx, bool v6, const struct packet *p)
{
	struct quote *q = new_quote();
	struct flow *f;
	__u32 sum = 0, network;

	if (!q)
		return TC_ACT_SHOT;
	q->l3_off = (p->l4_off & MAX_L4_OFF) + sizeof(struct icmp_head);
	q->end = p->l3_len ? ETH_HLEN + p->l3_len : ctx->len;
	if (read_quote_ip(ctx, v6, q) || read_quote_l4(ctx, v6, q))
		return NEXT;
	network = network_of_addr(v6, q->reversed.saddr);
	if (!addr_equal(v6, p->daddr, q->reversed.daddr) || network == MAX_NETWORKS)
		return NEXT;
	f = flow_find(v6, &q->reversed, network);
	if (!f || !flow_is_current(f))
		f = presented_answer(v6, &q->reversed, network);
	/* Where nothing was translated, the error is right as it is. */
	if (!f || !(f->flags & FLOW_REWRITE) || !flow_addr_diff(v6, &q->reversed, f))
		return NEXT;
	if (rewrite_quote(ctx, v6, q, f, &sum) || refuse_outer(ctx, v6, p, f, sum))
		return dropped(DROP_REWRITE_FAILED);
	return NEXT;
}
