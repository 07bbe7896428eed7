/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Services: which of a pool's backends a new flow is led to. Only what opens flows asks;
 * packets of open ones have all in the flow table.
 *
 * A hash of the client is a place in the pool's ring, and what stands there the backend
 * (userspace/maglev). No list is walked, however many services and backends there are. The
 * control plane makes rings of the backends that are active and puts them in whole. Its word
 * may be out of date, and with the daemon dead it stays so: where the endpoint isn't there any
 * more, other places are tried, which follow from the hash, too.
 *
 * A backend has its index for as long as a ring may name it.
 */
#pragma once

#include "endpoint.h"
#include "share.h"

/* With all but one backend of three gone, one flow in 400,000 finds nobody. */
#define CHOICE_TRIES 32

/* Whom a client gets to; the low half is the slot of its network, ZONE_WORLD if it has none. */
enum reach {
	REACH_OUTSIDE = 1 << 16, /* addresses outside, too */
	REACH_RELAY = 1 << 19,   /* these, where the host passes on what comes from outside */
	REACH_OWN = 1 << 17,     /* its network is internal: nobody else */
	REACH_ALL = 1 << 18,     /* internal networks, too, as the host does */
};

/* What the choice follows from, and why there is none. */
struct client {
	const __be32 *addr; /* who may be kept out by it; NULL: the host itself */
	__u32 address;      /* hash of the client */
	__u32 flow;         /* and of all that tells its flows apart */
	__u32 reach;        /* enum reach */
	enum drop_reason why;
};

/* Entry of the table in the slot; NULL if there is none. */
static __always_inline void *entry_of(void *tables, __u32 slot, __u32 index)
{
	void *table = bpf_map_lookup_elem(tables, &slot);

	return table ? bpf_map_lookup_elem(table, &index) : NULL;
}

static __always_inline struct pool *pool_at(__u32 slot)
{
	return entry_of(&pools, slot, 0);
}

static __always_inline struct backend *backend_at(__u32 slot, __u32 index)
{
	return index ? entry_of(&pools, slot, index) : NULL;
}

/* How many places the ring has; 0 if no backend is active. */
static __always_inline __u32 ring_size(__u32 slot)
{
	struct ring_word *first = entry_of(&rings, slot, 0);

	return first ? first->place[0] | (__u32)first->place[1] << 16 : 0;
}

/* What stands at the place; 0 if it has become another ring, which has fewer. */
static __always_inline __u32 ring_at(__u32 slot, __u32 place)
{
	struct ring_word *word = entry_of(&rings, slot, 1 + place / RING_PLACES);

	return word ? word->place[place % RING_PLACES] : 0;
}

/* The endpoint behind a publication; NULL if it isn't the one any more that was meant. */
static __always_inline struct endpoint *publish_endpoint(const struct published *pub)
{
	struct endpoint *ep = endpoint_at(pub->endpoint);

	if (!ep || ep->generation != pub->generation || !(ep->flags & ENDPOINT_READY))
		return NULL;
	return ep;
}

/* Whether who has this reach gets to endpoints of the network. */
static __always_inline bool reaches(__u32 reach, __u32 network)
{
	struct network *net;

	if (reach & REACH_ALL || network == (reach & 0xffff))
		return true;
	net = reach & REACH_OWN ? NULL : network_at(network);
	return net && !(net->flags & NETWORK_INTERNAL);
}

/* Whether the backend is one for new flows of who has this reach. */
static __always_inline bool backend_serves(const struct backend *b, __u32 reach)
{
	struct endpoint *ep;

	if (!b || b->state != BACKEND_ACTIVE)
		return false;
	if (b->at.flags & PUBLISHED_OUTSIDE)
		return reach & REACH_OUTSIDE || (reach & REACH_RELAY && publish_endpoint(&b->at));
	ep = publish_endpoint(&b->at);
	return ep && reaches(reach, ep->network);
}

/* The backend at the place, by its index, if it serves; else 0. Not inline: see port_try4(). */
__noinline int service_try(__u32 slot, __u32 place, __u32 reach)
{
	__u32 index = ring_at(slot, place);

	return backend_serves(backend_at(slot, index), reach) ? index : 0;
}

/* The backend for a client, by its index; 0 if none serves. */
__noinline int service_choose(__u32 slot, __u32 hash, __u32 reach)
{
	__u32 size = ring_size(slot);
	int i;

	if (!size)
		return 0;
	for (i = 0; i < CHOICE_TRIES; i++) {
		int index = service_try(slot, hash % size, reach);

		if (index)
			return index;
		hash = mix(hash, i);
	}
	return 0;
}

/*
 * Clients that a pool remembers. Its table is its own, so whoever floods one service with
 * clients makes no other forget; and who is forgotten gets the same backend by the ring,
 * unless that has changed meanwhile.
 */
/* By the high bits: the low ones of neighbours' hashes are the same. */
static __always_inline struct affinity_set *affinity_at(__u32 slot, __u32 client)
{
	return entry_of(&affinities, slot, mix(client, 0) >> (32 - AFFINITY_BITS));
}

/*
 * What is left of its time is never more than all of it, so an end that is long ago doesn't look
 * like one to come. Another CPU may have seen a later jiffy.
 */
static __always_inline bool affinity_lasts(const struct affinity *a, __u32 now, __u32 timeout)
{
	__u32 left = a->until - now;

	return a->backend && left && left <= timeout + touch_jiffies;
}

/* The backend that the client had, by its index, if it serves still; else 0. */
__noinline int affinity_find(__u32 slot, __u32 client, __u32 timeout, __u32 reach)
{
	struct affinity_set *set = affinity_at(slot, client);
	__u32 now = bpf_jiffies64();
	int i;

	if (!set)
		return 0;
#pragma clang loop unroll(full)
	for (i = 0; i < AFFINITY_WAYS; i++) {
		struct affinity *a = &set->ways[i];

		if (a->client != client || !affinity_lasts(a, now, timeout))
			continue;
		if (!backend_serves(backend_at(slot, a->backend), reach))
			return 0;
		a->until = now + timeout;
		return a->backend;
	}
	return 0;
}

/* Remembers it, in the place of whoever would be forgotten next. */
__noinline int affinity_keep(__u32 slot, __u32 client, __u32 timeout, __u32 backend)
{
	struct affinity_set *set = affinity_at(slot, client);
	__u32 now = bpf_jiffies64(), least = ~0U, left;
	struct affinity *keep = NULL;
	int i;

	if (!set)
		return 0;
#pragma clang loop unroll(full)
	for (i = 0; i < AFFINITY_WAYS; i++) {
		struct affinity *a = &set->ways[i];

		left = affinity_lasts(a, now, timeout) && a->client != client ? a->until - now : 0;
		if (left < least) {
			least = left;
			keep = a;
		}
	}
	if (!keep)
		return 0;
	keep->client = client;
	keep->until = now + timeout;
	keep->backend = backend;
	return 0;
}

/* Whether the client is one of those that may use the pool. The host may use all. */
static __always_inline bool client_may_use(bool v6, const struct pool *pool, __u32 slot,
					   const struct client *client)
{
	struct source_key key = { .prefixlen = 160, .slot = v6 ? slot | SOURCE_IPV6 : slot };

	if (!(pool->flags & POOL_SOURCES) || !client->addr)
		return true;
	addr_map(v6, key.addr, client->addr);
	return bpf_map_lookup_elem(&service_sources, &key);
}

/*
 * The client's draw of a pool that has one for each flow. A socket that sends without having
 * connected asks with each datagram, and before netfilter has let a flow in, each of its packets
 * does, so those find what they found before: the socket always, the others within a second.
 */
static __always_inline __u32 draw(const struct client *client)
{
	if (!client->addr)
		return client->flow;
	if (first_packet)
		return mix(client->flow, (__u32)bpf_jiffies64() / touch_jiffies);
	return bpf_get_prandom_u32();
}

/* The client's backend, by its index; 0 if none serves. */
static __always_inline __u32 service_index(const struct pool *pool, __u32 slot,
					   const struct client *client)
{
	__u32 index, hash = client->address, timeout = pool->affinity;
	bool random = pool->flags & POOL_RANDOM;

	if (!(pool->flags & POOL_BY_CLIENT))
		return service_choose(slot, random ? draw(client) : client->flow, client->reach);
	index = affinity_find(slot, hash, timeout, client->reach);
	if (index)
		return index;
	index = service_choose(slot, random ? draw(client) : hash, client->reach);
	if (index)
		affinity_keep(slot, hash, timeout, index);
	return index;
}

/*
 * The backend of the pool in the slot for a new flow of the client; NULL if there is none for
 * it, and why.
 */
static __always_inline struct backend *service_backend(bool v6, __u32 slot, struct client *client)
{
	struct pool *pool = pool_at(slot);
	struct backend *b;

	client->why = DROP_NO_BACKEND;
	if (!pool)
		return NULL;
	if (!client_may_use(v6, pool, slot, client)) {
		client->why = DROP_SERVICE_SOURCE;
		__sync_fetch_and_add(&pool->strangers, 1);
		return NULL;
	}
	b = backend_at(slot, service_index(pool, slot, client));
	__sync_fetch_and_add(b ? &b->flows : &pool->refused, 1);
	return b;
}

/* What tells a client by its address. */
static __always_inline __u32 client_address(bool v6, const __be32 *addr)
{
	__u32 hash = mix(0, addr[0]);
	int i;

#pragma clang loop unroll(full)
	for (i = 1; v6 && i < 4; i++)
		hash = mix(hash, addr[i]);
	return hash;
}

/* Whose flow a packet would begin. */
static __always_inline struct client client_of(bool v6, const struct packet *p)
{
	__u32 address = client_address(v6, p->saddr), flow;
	int i;

	flow = mix(mix(address, (__u32)p->sport << 16 | p->dport), p->proto);
#pragma clang loop unroll(full)
	for (i = 0; i < (v6 ? 4 : 1); i++)
		flow = mix(flow, p->daddr[i]);
	return (struct client){ .addr = p->saddr, .address = address, .flow = flow };
}
