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

#include "passive.h"

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
	__u64 look;         /* PASSIVE_LOOKS... */
	__u32 left;         /* name of the backend that left the same SYN unanswered, or 0 */
	__u32 backend;      /* out: name of the chosen one, if its answer counts */
	enum drop_reason why;
};

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

/* Set beside an index: others are to be preferred. */
#define CHOICE_LAST (1 << 16)

/* Whether others are to be preferred to a backend that serves. */
static __always_inline bool is_last_choice(const struct backend *b, __u32 index, __u64 look)
{
	return index == (look & PASSIVE_INDEX) || passes_over(b, look);
}

/*
 * The backend at the place, by its index, if it serves, perhaps as the last choice; else 0. Not
 * inline: see port_try4().
 */
__noinline int service_try(__u32 slot, __u32 place, __u32 reach, __u64 look)
{
	__u32 index = ring_at(slot, place);
	struct backend *b = backend_at(slot, index);

	if (!b || !backend_serves(b, reach))
		return 0;
	return is_last_choice(b, index, look) ? index | CHOICE_LAST : index;
}

/*
 * The backend for a client, by its index, perhaps as the last choice; 0 if none serves. That they
 * fail is no reason to serve nobody.
 */
__noinline int service_choose(__u32 slot, __u32 hash, __u32 reach, __u64 look)
{
	__u32 size = ring_size(slot), last = 0;
	int i;

	if (!size)
		return 0;
	for (i = 0; i < CHOICE_TRIES; i++) {
		__u32 index = service_try(slot, hash % size, reach, look);

		if (index && !(index & CHOICE_LAST))
			return index;
		if (!last)
			last = index;
		hash = mix(hash, i);
	}
	return last;
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

/* The backend that the client had, by its index, if it serves, perhaps as the last choice; else 0. */
__noinline int affinity_find(__u32 slot, __u32 client, __u32 timeout, __u32 reach, __u64 look)
{
	struct affinity_set *set = affinity_at(slot, client);
	__u32 now = bpf_jiffies64();
	int i;

	if (!set)
		return 0;
#pragma clang loop unroll(full)
	for (i = 0; i < AFFINITY_WAYS; i++) {
		struct affinity *a = &set->ways[i];
		struct backend *b;

		if (a->client != client || !affinity_lasts(a, now, timeout))
			continue;
		b = backend_at(slot, a->backend);
		if (!b || !backend_serves(b, reach))
			return 0;
		if (is_last_choice(b, a->backend, look))
			return a->backend | CHOICE_LAST;
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

/*
 * The client's backend, by its index; 0 if none serves. Who passes over the one that it had gets
 * another one as long as that takes, and the same again after it.
 */
static __always_inline __u32 service_index(const struct pool *pool, __u32 slot,
					   const struct client *client, __u64 look)
{
	bool by_client = pool->flags & POOL_BY_CLIENT;
	__u32 index, had = 0, hash = by_client ? client->address : client->flow;

	if (by_client) {
		had = affinity_find(slot, hash, pool->affinity, client->reach, look);
		if (had && !(had & CHOICE_LAST))
			return had;
	}
	if (look & PASSIVE_INDEX)
		hash = bpf_get_prandom_u32();
	else if (pool->flags & POOL_RANDOM && !had)
		hash = draw(client);
	index = service_choose(slot, hash, client->reach, look);
	if (had && index & CHOICE_LAST)
		index = had;
	index &= PASSIVE_INDEX;
	if (index && by_client && !had && !(look & PASSIVE_INDEX))
		affinity_keep(slot, client->address, pool->affinity, index);
	return index;
}

static __always_inline __u64 look_at(const struct pool *pool, const struct client *client)
{
	return pool->flags & POOL_PASSIVE ? client->look : 0;
}

/*
 * The backend of the pool in the slot for a new flow of the client; NULL if there is none for
 * it, and why.
 */
static __always_inline struct backend *service_backend(bool v6, __u32 slot, struct client *client)
{
	struct pool *pool = pool_at(slot);
	struct backend *b;
	__u32 index;
	__u64 look;

	client->why = DROP_NO_BACKEND;
	client->backend = 0;
	if (!pool)
		return NULL;
	if (!client_may_use(v6, pool, slot, client)) {
		client->why = DROP_SERVICE_SOURCE;
		__sync_fetch_and_add(&pool->strangers, 1);
		return NULL;
	}
	look = look_at(pool, client);
	if (look && slot_of_name(client->left) == slot)
		look |= index_of_name(client->left);
	index = service_index(pool, slot, client, look);
	if (look && index)
		client->backend = backend_name(slot, index);
	b = backend_at(slot, index);
	/* A SYN that is sent again is no other flow. */
	if (!b)
		__sync_fetch_and_add(&pool->refused, 1);
	else if (!client->left)
		__sync_fetch_and_add(&b->flows, 1);
	return b;
}

/* Whose flow a packet would begin. */
static __always_inline struct client client_of(bool v6, const struct packet *p)
{
	__u32 address = client_address(v6, p->saddr), flow;
	__u64 look = 0;
	int i;

	flow = mix(mix(address, (__u32)p->sport << 16 | p->dport), p->proto);
#pragma clang loop unroll(full)
	for (i = 0; i < (v6 ? 4 : 1); i++)
		flow = mix(flow, p->daddr[i]);
	/* What is in its middle goes on where it was, and nothing else shows who answers. */
	if (p->proto == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		look = passive_look(v6, p->saddr);
	return (struct client){ .addr = p->saddr,
				.address = address,
				.flow = flow,
				.look = look,
				.left = backend_left(p) };
}
