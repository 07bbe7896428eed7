/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Published ports: which container an address and port of the host stand for. */
#pragma once

#include "service.h"

static __always_inline int proto_index(__u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return 0;
	case IPPROTO_UDP:
		return 1;
	case IPPROTO_SCTP:
		return 2;
	}
	return -1;
}

/* Whether the port is published on any address of the host. */
static __always_inline bool port_is_published(__u8 proto, __be16 port)
{
	__u16 num = bpf_ntohs(port);
	int index = proto_index(proto);
	__u32 key;
	__u64 *word;

	if (index < 0)
		return false;
	key = index * PORT_WORDS + num / 64;
	word = bpf_map_lookup_elem(&port_bitmap, &key);
	return word && *word >> (num % 64) & 1;
}

/* network is 0 for an address that is the host's for everybody. */
static __always_inline struct published *publish_find_key(bool v6, __u32 network,
							  const __be32 *addr, __be16 port,
							  __u8 proto)
{
	struct published_key key = { .port = port, .proto = proto, .network = network };

	addr_map(v6, key.addr, addr);
	return bpf_map_lookup_elem(&published_ports, &key);
}

/* The most specific publication of the port: on the address itself, else on any. */
static __always_inline struct published *publish_find(bool v6, const __be32 *addr, __be16 port,
						      __u8 proto)
{
	const __be32 any[4] = {};
	struct published *pub = publish_find_key(v6, 0, addr, port, proto);

	return pub ? pub : publish_find_key(v6, 0, any, port, proto);
}

/* Who is on the way to an address of the host. */
enum publish_for {
	FOR_PACKET, /* from a container or from outside */
	FOR_SOCKET, /* of the host itself, by loopback too */
};

/*
 * What an address of the host and a port stand for: every way to a publication is through
 * here. That addr is the host's, the caller has made sure; network is the slot of the one
 * whose services may have it for their own, 0 if who asks reaches none. NULL if nothing is
 * published there for who asks; *ep is the endpoint behind it, NULL if that is gone.
 *
 * Where it is a service, the backend for the client is what is returned; and the service's
 * publication itself, without an endpoint, if there is none for him (publish_is_vacant); client
 * has the reason then. A backend outside has no endpoint either (publish_is_outside).
 */
static __always_inline struct published *publish_resolve(bool v6, const __be32 *addr, __be16 port,
							 __u8 proto, enum publish_for who,
							 __u32 network, struct client *client,
							 struct endpoint **ep)
{
	struct published *pub = NULL;
	struct backend *b;

	*ep = NULL;
	if (!port_is_published(proto, port))
		return NULL;
	if (network)
		pub = publish_find_key(v6, network, addr, port, proto);
	if (!pub)
		pub = publish_find(v6, addr, port, proto);
	if (!pub || (who == FOR_PACKET && pub->flags & PUBLISHED_HOST_ONLY))
		return NULL;
	if (pub->flags & PUBLISHED_SERVICE) {
		b = service_backend(v6, pub->endpoint, client);
		if (!b)
			return pub;
		pub = &b->at;
	}
	if (!(pub->flags & PUBLISHED_OUTSIDE))
		*ep = publish_endpoint(pub);
	return pub;
}

/* Whether it is a backend outside, and no endpoint that is gone. */
static __always_inline bool publish_is_outside(const struct published *pub)
{
	return pub->flags & PUBLISHED_OUTSIDE;
}

/* Whether it is a service without a backend for the client, and no endpoint that is gone. */
static __always_inline bool publish_is_vacant(const struct published *pub)
{
	return pub->flags & PUBLISHED_SERVICE;
}

/* Whether the network's endpoint has published the port of its own address, for direct access. */
static __always_inline bool publish_is_routed(bool v6, __u32 network, const __be32 *addr,
					      __be16 port, __u8 proto)
{
	struct published *pub = publish_find_key(v6, network, addr, port, proto);

	return pub && pub->flags & PUBLISHED_ROUTED;
}

static __always_inline void publish_target(bool v6, const struct published *pub, __be32 *addr)
{
	if (v6)
		addr6_load(addr, pub->addr);
	else
		__builtin_memcpy(addr, pub->addr + 12, 4);
}
