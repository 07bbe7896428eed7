/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel's FIB: asked once per flow, and again when routes have changed. */
#pragma once

#include "plan.h"

enum route_result {
	ROUTE_UPLINK, /* plan holds device, next hop and MTU */
	ROUTE_STACK,  /* let the stack forward it: something the plan can't say */
	ROUTE_LOCAL,  /* the stack's to deliver or to refuse with an ICMP error */
	ROUTE_NONE,   /* leads to no uplink */
	ROUTE_NARROW, /* the packet is too big for it; of find_leg() */
};

/* BPF_FIB_LOOKUP_SKIP_NEIGH of Linux 6.3: resolving is redirect_neigh's business. */
#define FIB_LOOKUP_SKIP_NEIGH (1U << 2)
/* What older kernels say to a flag that they do not know. */
#define EINVAL 22

/* Any packet fits into this, so that the lookup reports the route's MTU. */
#define SMALLEST_PACKET 20

_Static_assert(sizeof(struct bpf_fib_lookup) == sizeof(((struct scratch *)0)->fib), "fib");

static __always_inline void route_query(struct bpf_fib_lookup *fib, bool v6, const __be32 *saddr,
					const __be32 *daddr, __u32 ifindex)
{
	fib->ifindex = ifindex;
	fib->tot_len = SMALLEST_PACKET;
	if (v6) {
		fib->family = AF_INET6;
		addr6_copy(fib->ipv6_src, saddr);
		addr6_copy(fib->ipv6_dst, daddr);
	} else {
		fib->family = AF_INET;
		fib->ipv4_src = saddr[0];
		fib->ipv4_dst = daddr[0];
	}
}

/*
 * What to look up for a flow's packets: as when it was opened, routing rules see
 * containers, not what hides them.
 */
static __always_inline void flow_route_addrs(bool v6, const struct packet *p, const struct flow *f,
					     __be32 *saddr, __be32 *daddr)
{
	flow_addrs(v6, f, saddr, daddr);
	if (f->flags & FLOW_ORIGIN)
		addr_copy(v6, saddr, p->saddr);
}

static __always_inline struct bpf_fib_lookup *new_fib_lookup(void)
{
	struct scratch *s = scratch();

	if (!s)
		return NULL;
	__builtin_memset(s->fib, 0, sizeof(s->fib));
	return (struct bpf_fib_lookup *)s->fib;
}

/*
 * Where a packet from saddr that came in on ifindex goes. Fills the plan's
 * oif, nexthop and mtu.
 */
static __always_inline enum route_result route_lookup(struct __sk_buff *ctx, bool v6,
						      const __be32 *saddr, const __be32 *daddr,
						      __u32 ifindex, struct flow_plan *plan)
{
	struct bpf_fib_lookup *fib = new_fib_lookup();
	long ret;

	if (!fib)
		return ROUTE_NONE;
	route_query(fib, v6, saddr, daddr, ifindex);
	ret = bpf_fib_lookup(ctx, fib, sizeof(*fib), FIB_LOOKUP_SKIP_NEIGH);
	if (ret == -EINVAL)
		ret = bpf_fib_lookup(ctx, fib, sizeof(*fib), 0);
	/* Encapsulating routes don't tell their device: it might be no uplink. */
	if (ret == BPF_FIB_LKUP_RET_UNSUPP_LWT)
		return ROUTE_NONE;
	if (ret != BPF_FIB_LKUP_RET_SUCCESS && ret != BPF_FIB_LKUP_RET_NO_NEIGH)
		return ROUTE_LOCAL;
	plan->oif = fib->ifindex;
	/* A lookup that ends for want of a neighbour tells no MTU. */
	plan->mtu = ret == BPF_FIB_LKUP_RET_SUCCESS ? fib->mtu_result : 0;
	if (!bpf_map_lookup_elem(&uplinks, &plan->oif))
		return ROUTE_NONE;
	if (fib->family != (v6 ? AF_INET6 : AF_INET))
		return ROUTE_STACK;
	if (v6)
		addr6_copy(plan->nexthop, fib->ipv6_dst);
	else
		plan->nexthop[0] = fib->ipv4_dst;
	return ROUTE_UPLINK;
}
