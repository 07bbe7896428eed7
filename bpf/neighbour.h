/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Next hops that are neighbours of an uplink. Their MAC addresses are remembered for an
 * eighth of a second, so that most packets leave without a visit to the neighbour layer,
 * which costs about as much as all that the program does otherwise.
 *
 * The layer stays in charge: the first packet in each such time takes its way, which
 * keeps the neighbour in use and has it probed when it is due. What the FIB says of
 * the MAC then counts until the time is over; so changes of it, and its loss, are
 * followed with the daemon dead too.
 */
#pragma once

#include "nexthop.h"
#include "route.h"

/* How a packet leaves. */
struct leg {
	struct nexthop_mac mac, own_mac;
	__u32 oif;
	struct bpf_redir_neigh neigh; /* for the neighbour layer */
	bool has_macs;                /* else neigh counts */
};

static __always_inline void leg_by_layer(bool v6, struct leg *leg, __u32 oif, const __be32 *nexthop)
{
	leg->oif = oif;
	leg->has_macs = false;
	leg->neigh = (struct bpf_redir_neigh){ .nh_family = family_of(v6) };
	if (v6)
		addr6_copy(leg->neigh.ipv6_nh, nexthop);
	else
		leg->neigh.ipv4_nh = nexthop[0];
}

/* Looks the flow's route up once more, this time with the neighbour. */
static __always_inline bool neighbour_lookup(struct __sk_buff *ctx, bool v6, const struct packet *p,
					     const struct flow *f, const struct nexthop *hop,
					     __u64 head, struct bpf_fib_lookup *fib)
{
	struct endpoint *ep = endpoint_at(f->endpoint);
	struct network *net = ep ? network_at(ep->network) : NULL;
	__be32 saddr[4], daddr[4];

	if (!net)
		return false;
	flow_route_addrs(v6, p, f, saddr, daddr);
	route_query(fib, v6, saddr, daddr, net->bridge_ifindex);
	if (bpf_fib_lookup(ctx, fib, sizeof(*fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return false;
	return fib->ifindex == head_of(head).oif && fib->family == family_of(v6) &&
	       addr_equal(v6, v6 ? fib->ipv6_dst : &fib->ipv4_dst, hop->addr);
}

/*
 * Has the FIB tell the MAC of a hop that had this head, which may turn out not to be known. If
 * the slot was given away meanwhile, what is written counts for nobody.
 */
static __always_inline void neighbour_ask(struct __sk_buff *ctx, bool v6, const struct packet *p,
					  const struct flow *f, struct nexthop *hop, __u64 head)
{
	struct bpf_fib_lookup *fib = new_fib_lookup();
	__u64 mac = 0, own_mac = 0;

	if (!fib)
		return;
	/* Other CPUs take the layer's way meanwhile: what was known may be old. */
	set_word(&hop->mac, 0);
	if (neighbour_lookup(ctx, v6, p, f, hop, head, fib)) {
		mac = word_of_mac(fib->dmac, head_of(head).generation);
		own_mac = word_of_mac(fib->smac, head_of(head).generation);
	}
	set_word(&hop->mac, mac);
	set_word(&hop->own_mac, own_mac);
}

__noinline int neighbour_ask4(struct __sk_buff *ctx, const struct packet *p, const struct flow4 *f,
			      struct nexthop *hop, __u64 head)
{
	if (p && f && hop)
		neighbour_ask(ctx, false, p, &f->flow, hop, head);
	return 0;
}

__noinline int neighbour_ask6(struct __sk_buff *ctx, const struct packet *p, const struct flow6 *f,
			      struct nexthop *hop, __u64 head)
{
	if (p && f && hop)
		neighbour_ask(ctx, true, p, &f->flow, hop, head);
	return 0;
}

/* Whether it is time to ask, and for this CPU to do it. */
static __always_inline bool neighbour_is_due(struct nexthop *hop)
{
	__u32 asked = hop->asked, now = flow_now();

	return now - asked >= touch_jiffies / 8 &&
	       __sync_val_compare_and_swap(&hop->asked, asked, now) == asked;
}

/* The way to the hop, which had this head; false if the slot is another's by now. */
static __always_inline bool neighbour_leg(struct __sk_buff *ctx, bool v6, const struct packet *p,
					  const struct flow *f, struct nexthop *hop, __u64 head,
					  struct leg *leg)
{
	__u16 generation = head_of(head).generation;

	if (neighbour_is_due(hop)) {
		if (v6)
			neighbour_ask6(ctx, p, (const struct flow6 *)f, hop, head);
		else
			neighbour_ask4(ctx, p, (const struct flow4 *)f, hop, head);
	} else {
		leg->mac = mac_of(word_at(&hop->mac));
		leg->own_mac = mac_of(word_at(&hop->own_mac));
		leg->oif = head_of(head).oif;
		leg->has_macs = leg->mac.generation == generation &&
				leg->own_mac.generation == generation;
		if (leg->has_macs)
			return true;
	}
	leg_by_layer(v6, leg, head_of(head).oif, hop->addr);
	return nexthop_has(hop, head);
}
