/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Container to container on one network: switched, not routed. Nothing is
 * written into the packet and no state is kept.
 */
#pragma once

#include "forward.h"
#include "guard.h"

static __always_inline struct endpoint *endpoint_of_mac(__u32 network, const __u8 *mac, __u32 *slot)
{
	struct mac_key key = { .network = network };
	__u32 *found;

	__builtin_memcpy(key.mac, mac, ETH_ALEN);
	found = bpf_map_lookup_elem(&endpoint_macs, &key);
	if (!found)
		return NULL;
	*slot = *found;
	return endpoint_at(*found);
}

static __always_inline bool link_allows(bool v6, __u32 network, const __be32 *from,
					const __be32 *to, __be16 port, __u8 proto)
{
	struct link_key key = { .network = network, .port = port, .proto = proto };

	addr_map(v6, key.from, from);
	addr_map(v6, key.to, to);
	return bpf_map_lookup_elem(&icc_links, &key);
}

/* With icc=false only links pass, to the linked port and back (Docker's --link). */
static __always_inline bool icc_allows(bool v6, const struct packet *p, __u32 network)
{
	if (v6 && is_nd(p))
		return true;
	if (p->flags & (PKT_LATER_FRAGMENT | PKT_NO_PORTS))
		return false;
	return link_allows(v6, network, p->saddr, p->daddr, p->dport, p->proto) ||
	       link_allows(v6, network, p->daddr, p->saddr, p->sport, p->proto);
}

static __always_inline int to_peer(struct __sk_buff *ctx, bool v6, const struct packet *p,
				   const struct network *net, const struct endpoint *peer,
				   __u32 slot)
{
	if (!(peer->flags & ENDPOINT_READY))
		return dropped(DROP_ENDPOINT_GONE);
	if (!(net->flags & NETWORK_ICC) && !icc_allows(v6, p, peer->network))
		return dropped(DROP_ICC);
	return deliver(ctx, peer, slot);
}
