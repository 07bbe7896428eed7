/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TCP sockets of containers, where a service's backends are on a network of their own: they are
 * connected to the backend itself. Their packets are switched in the network's bridge as to any
 * other peer: nothing is translated, no flow is kept, and the backend sees who asks.
 *
 * What a container may reach becomes no more by this: it is led to peers only, which it could
 * name itself. All else is left to its packets, which are judged one network at a time, and so is
 * UDP: of a backend that goes down a connected socket would be told, rather than led to another.
 *
 * Whose a socket is its network namespace's cookie tells, which no container can choose.
 */
#pragma once

#include "publish.h"

static __always_inline struct attachment *attachment_of(__u64 netns, __u32 network)
{
	struct attachment_key key = { .netns = netns, .network = network };

	return bpf_map_lookup_elem(&attachments, &key);
}

/* The endpoint of the attachment; NULL if that is another's by now. */
static __always_inline struct endpoint *attached_endpoint(const struct attachment *a, __u32 network)
{
	struct endpoint *ep = a ? endpoint_at(a->endpoint) : NULL;

	if (!ep || ep->generation != a->generation || ep->network != network ||
	    !(ep->flags & ENDPOINT_READY))
		return NULL;
	return ep;
}

/* The endpoint's address; all 0 if it has none of the family. */
static __always_inline void own_address(bool v6, const struct endpoint *ep, __be32 *addr)
{
	if (v6)
		addr6_load(addr, ep->ip6);
	else
		addr[0] = ep->ip4;
}

/* Whether nothing that the socket is bound to says that its packets leave elsewhere. */
static __always_inline bool may_leave_by(const struct bpf_sock *sk, bool v6, const __be32 *addr)
{
	__be32 bound[4];

	if (sk->bound_dev_if)
		return false;
	if (!v6) {
		bound[0] = sk->src_ip4;
		return addr[0] && (!bound[0] || bound[0] == addr[0]);
	}
	bound[0] = sk->src_ip6[0];
	bound[1] = sk->src_ip6[1];
	bound[2] = sk->src_ip6[2];
	bound[3] = sk->src_ip6[3];
	return !addr_is_zero(true, addr) && (addr_is_zero(true, bound) || addr6_equal(bound, addr));
}

/* The slot of the pool behind a service's own address in the network; 0 if none is there. */
static __always_inline __u32 pool_of_address(bool v6, __u32 network, const __be32 *addr,
					     __be16 port, __u8 proto)
{
	struct published *pub;

	if (!port_is_published(proto, port))
		return 0;
	pub = publish_find_key(v6, network, addr, port, proto);
	return pub && publish_is_vacant(pub) ? pub->endpoint : 0;
}

/* The backend, if it is an endpoint on the network and of the family. */
static __always_inline struct backend *peer_backend(bool v6, struct backend *b, __u32 network)
{
	struct endpoint *ep;
	__be32 words[4];

	if (!b || b->at.flags & PUBLISHED_OUTSIDE)
		return NULL;
	ep = publish_endpoint(&b->at);
	__builtin_memcpy(words, b->at.addr, 16);
	return ep && ep->network == network && addr6_is_mapped(words) == !v6 ? b : NULL;
}

/*
 * The backend that a container's socket is to be connected to, where it asks for a service's own
 * address; NULL if that is left to its packets. Only where all active backends are on one network
 * does the socket choose: it draws otherwise than its packets would, so what one of them leaves
 * to the other would get more or less than its share.
 */
static __always_inline struct backend *direct_backend(struct bpf_sock_addr *ctx, bool v6,
						      const __be32 *addr, __be16 port, __u8 proto)
{
	__u64 netns = bpf_get_netns_cookie(ctx), cookie = bpf_get_socket_cookie(ctx);
	__u32 *owner = host_addr(v6, addr), network, slot, shared;
	struct attachment *a, *led;
	struct client client = {};
	struct endpoint *ep;
	struct network *net;
	struct backend *b;
	struct pool *pool;
	__be32 own[4];
	__u64 look;

	if (!owner || !*owner)
		return NULL;
	network = *owner - 1;
	a = attachment_of(netns, network);
	ep = attached_endpoint(a, network);
	slot = ep ? pool_of_address(v6, network, addr, port, proto) : 0;
	pool = slot ? pool_at(slot) : NULL;
	if (!pool)
		return NULL;
	shared = pool->flags >> POOL_NETWORK_SHIFT;
	net = shared ? network_at(shared) : NULL;
	if (!net || !(net->flags & NETWORK_ICC) || !network_has(net, v6))
		return NULL;

	/* Who asks is who the packet would come from. */
	own_address(v6, ep, own);
	client.addr = own;
	client.address = client_address(v6, own);
	client.flow = mix(mix(cookie, cookie >> 32), port);
	client.reach = network;
	client.look = proto == IPPROTO_TCP ? passive_look(v6, own) : 0;
	net = network_at(network);
	if (!net || addr_is_zero(v6, own))
		return NULL;
	if (net->flags & NETWORK_INTERNAL)
		client.reach |= REACH_OWN;
	if (!client_may_use(v6, pool, slot, &client))
		return NULL;

	led = shared == network ? a : attachment_of(netns, shared);
	ep = attached_endpoint(led, shared);
	if (!ep)
		return NULL;
	own_address(v6, ep, own);
	if (!may_leave_by(ctx->sk, v6, own))
		return NULL;
	look = look_at(pool, &client);
	b = peer_backend(v6, backend_at(slot, service_index(pool, slot, &client, look)), shared);
	/* Of packets is seen whether one that has failed has come back. */
	if (!b || is_suspect(b, look))
		return NULL;
	__sync_fetch_and_add(&b->flows, 1);
	__sync_fetch_and_add(&led->led, 1);
	return b;
}
