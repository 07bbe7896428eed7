/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Published ports: which container an address and port of the host stand for. */
#pragma once

#include "endpoint.h"
#include "port.h"

static __always_inline struct published *publish_find_key(bool v6, const __be32 *addr, __be16 port,
							  __u8 proto)
{
	struct published_key key = { .port = port, .proto = proto };

	addr_map(v6, key.addr, addr);
	return bpf_map_lookup_elem(&published_ports, &key);
}

/* The most specific publication of the port: on the address itself, else on any. */
static __always_inline struct published *publish_find(bool v6, const __be32 *addr, __be16 port,
						      __u8 proto)
{
	const __be32 any[4] = {};
	struct published *pub;

	if (!port_is_published(proto, port))
		return NULL;
	pub = publish_find_key(v6, addr, port, proto);
	if (pub && !(pub->flags & PUBLISHED_ROUTED))
		return pub;
	return publish_find_key(v6, any, port, proto);
}

/* The endpoint behind a publication, if it still is the one that was meant. */
static __always_inline struct endpoint *publish_endpoint(const struct published *pub)
{
	struct endpoint *ep = endpoint_at(pub->endpoint);

	if (!ep || ep->generation != pub->generation || !(ep->flags & ENDPOINT_READY))
		return NULL;
	return ep;
}

static __always_inline void publish_target(bool v6, const struct published *pub, __be32 *addr)
{
	if (v6)
		addr6_load(addr, pub->addr);
	else
		__builtin_memcpy(addr, pub->addr + 12, 4);
}
