// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Egress of the host side of a container's veth: only what the bridge or the
 * host's stack delivers; redirected packets never come here. It is the second
 * lock on the door: what the stack routed must be the host's own or admitted.
 */
#include "host.h"
#include "nd.h"
#include "let_in.h"

/* Flooded by the bridge from a peer: with icc=false only ARP and ND pass. */
static __always_inline int from_peer(struct __sk_buff *ctx, const struct network *net,
				     __be16 protocol)
{
	struct ethhdr *eth = data_of(ctx);

	if (net->flags & NETWORK_ICC || protocol == bpf_htons(ETH_P_ARP))
		return NEXT;
	if ((void *)(eth + 1) > data_end_of(ctx))
		return dropped(DROP_MALFORMED);
	if (protocol == bpf_htons(ETH_P_IPV6) && eth->h_dest[0] & 1) {
		struct packet *p = new_packet();

		/* Without ND IPv6 doesn't work at all. MLD is the bridge's, which has seen it. */
		if (p && !parse_ip(ctx, true, p) && is_nd(p))
			return NEXT;
	}
	return dropped(DROP_ICC);
}

/* The host's own packets; what it sends to a container's port may meet a hairpin. */
static __always_inline int from_host(struct __sk_buff *ctx, const struct endpoint *ep)
{
	struct packet *p = new_packet();

	if (!p)
		return NEXT;
	if (ctx->protocol == bpf_htons(ETH_P_IP) && !parse_ip(ctx, false, p))
		return host_begins(ctx, false, p, ep->network);
	if (ctx->protocol == bpf_htons(ETH_P_IPV6) && !parse_ip(ctx, true, p))
		return host_begins(ctx, true, p, ep->network);
	return NEXT;
}

/* Left to the stack by a program of ours, and let in by netfilter's rules. */
static __always_inline int let_in_by_netfilter(struct __sk_buff *ctx)
{
	switch (ctx->protocol) {
	case bpf_htons(ETH_P_IP):
		return go_on(ctx, false, CALL_LET_IN);
	case bpf_htons(ETH_P_IPV6):
		return go_on(ctx, true, CALL_LET_IN);
	}
	return dropped(DROP_DIRECT_ROUTING);
}

static __always_inline int to_container_frame(struct __sk_buff *ctx, const struct endpoint *ep)
{
	__u32 from = 0, ingress = ctx->ingress_ifindex;
	struct network *net = network_at(ep->network);
	struct endpoint *peer;

	if (!net)
		return dropped(DROP_UNMANAGED);
	if (!ingress)
		return from_host(ctx, ep);
	/*
	 * Routed from the bridge back to it: on link after all. from_container lets no
	 * global address do so with icc=false, but a link-local one is the stack's.
	 */
	if (ingress == net->bridge_ifindex)
		return net->flags & NETWORK_ICC ? NEXT : dropped(DROP_ICC);
	if (first_packet && was_asked(ctx))
		return let_in_by_netfilter(ctx);
	peer = endpoint_of_device(ingress, &from);
	if (peer && peer->network == ep->network)
		return from_peer(ctx, net, ctx->protocol);
	return dropped(peer ? DROP_ISOLATED : DROP_DIRECT_ROUTING);
}

/* What passes counts as received. */
static __always_inline int leave_to(struct __sk_buff *ctx, __u32 slot, int outcome)
{
	if (outcome == NEXT)
		count_receive(ctx, slot);
	return leave(ctx, PROG_TO_CONTAINER, outcome);
}

SEC("tc")
int to_container(struct __sk_buff *ctx)
{
	__u32 slot = 0;
	struct endpoint *ep = endpoint_of_device(ctx->ifindex, &slot);

	return leave_to(ctx, slot, ep ? to_container_frame(ctx, ep) : dropped(DROP_UNMANAGED));
}

static __always_inline int let_in_any(struct __sk_buff *ctx, bool v6)
{
	__u32 slot = 0;
	struct endpoint *ep = endpoint_of_device(ctx->ifindex, &slot);
	int action = first_packet && ep ? let_in(ctx, v6, slot, ep) : dropped(DROP_UNMANAGED);

	mark_clear(ctx);
	return leave_to(ctx, slot, action);
}

SEC("tc")
int let_in4(struct __sk_buff *ctx)
{
	return let_in_any(ctx, false);
}

SEC("tc")
int let_in6(struct __sk_buff *ctx)
{
	return let_in_any(ctx, true);
}
