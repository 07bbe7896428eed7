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
		return drop(ctx, DROP_MALFORMED, DIR_RECEIVE);
	if (protocol == bpf_htons(ETH_P_IPV6) && eth->h_dest[0] & 1) {
		struct packet p = {};

		/* Without ND IPv6 doesn't work at all. MLD is the bridge's, which has seen it. */
		if (!parse_ip(ctx, true, &p) && is_nd(&p))
			return NEXT;
	}
	return drop(ctx, DROP_ICC, DIR_RECEIVE);
}

/* The host's own packets; what it sends to a container's port may meet a hairpin. */
static __always_inline int from_host(struct __sk_buff *ctx)
{
	struct packet *p = new_packet();

	if (!p)
		return NEXT;
	if (ctx->protocol == bpf_htons(ETH_P_IP) && !parse_ip(ctx, false, p))
		return host_begins(ctx, false, p, ZONE_CONTAINER);
	if (ctx->protocol == bpf_htons(ETH_P_IPV6) && !parse_ip(ctx, true, p))
		return host_begins(ctx, true, p, ZONE_CONTAINER);
	return NEXT;
}

static __always_inline int to_container_frame(struct __sk_buff *ctx, const struct endpoint *ep,
					      __u32 slot)
{
	__u32 from = 0, ingress = ctx->ingress_ifindex;
	struct network *net = network_at(ep->network);
	struct endpoint *peer;

	if (!net)
		return drop(ctx, DROP_UNMANAGED, DIR_RECEIVE);
	if (!ingress)
		return from_host(ctx);
	/*
	 * Routed from the bridge back to it: on link after all. from_container lets no
	 * global address do so with icc=false, but a link-local one is the stack's.
	 */
	if (ingress == net->bridge_ifindex)
		return net->flags & NETWORK_ICC ? NEXT : drop(ctx, DROP_ICC, DIR_RECEIVE);
	if (first_packet && was_asked(ctx))
		return netfilter_let_in(ctx, slot);
	peer = endpoint_of_device(ingress, &from);
	if (peer && peer->network == ep->network)
		return from_peer(ctx, net, ctx->protocol);
	return drop(ctx, peer ? DROP_ISOLATED : DROP_DIRECT_ROUTING, DIR_RECEIVE);
}

static __always_inline int to_container_counted(struct __sk_buff *ctx)
{
	__u32 slot = 0;
	struct endpoint *ep = endpoint_of_device(ctx->ifindex, &slot);
	int action;

	if (!ep)
		return drop(ctx, DROP_UNMANAGED, DIR_RECEIVE);
	action = to_container_frame(ctx, ep, slot);
	if (action == NEXT)
		count_receive(ctx, slot);
	return action;
}

SEC("tc")
int to_container(struct __sk_buff *ctx)
{
	return count_verdict(ctx, PROG_TO_CONTAINER, to_container_counted(ctx));
}
