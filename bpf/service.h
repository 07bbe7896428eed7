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

/* What the choice follows from: hashes of the client, and of all that tells its flows apart. */
struct client {
	__u32 address;
	__u32 flow;
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

/* The backend at the place, by its index, if it serves; else 0. Not inline: see port_try4(). */
__noinline int service_try(__u32 slot, __u32 place)
{
	__u32 index = ring_at(slot, place);
	struct backend *b = backend_at(slot, index);

	return b && b->state == BACKEND_ACTIVE && publish_endpoint(&b->at) ? index : 0;
}

/* The backend for a client, by its index; 0 if none serves. */
__noinline int service_choose(__u32 slot, __u32 hash)
{
	__u32 size = ring_size(slot);
	int i;

	if (!size)
		return 0;
	for (i = 0; i < CHOICE_TRIES; i++) {
		int index = service_try(slot, hash % size);

		if (index)
			return index;
		hash = mix(hash, i);
	}
	return 0;
}

/* The backend of the pool in the slot for a new flow of the client; NULL if none serves. */
static __always_inline struct backend *service_backend(__u32 slot, const struct client *client)
{
	struct pool *pool = pool_at(slot);
	struct backend *b;
	__u32 hash;

	if (!pool)
		return NULL;
	if (pool->flags & POOL_BY_CLIENT)
		hash = client->address;
	else
		hash = pool->flags & POOL_RANDOM ? bpf_get_prandom_u32() : client->flow;
	b = backend_at(slot, service_choose(slot, hash));
	__sync_fetch_and_add(b ? &b->flows : &pool->refused, 1);
	return b;
}

/* Whose flow a packet would begin. */
static __always_inline struct client client_of(bool v6, const struct packet *p)
{
	__u32 address = mix(0, p->saddr[0]), flow;
	int i;

#pragma clang loop unroll(full)
	for (i = 1; v6 && i < 4; i++)
		address = mix(address, p->saddr[i]);
	flow = mix(mix(address, (__u32)p->sport << 16 | p->dport), p->proto);
#pragma clang loop unroll(full)
	for (i = 0; i < (v6 ? 4 : 1); i++)
		flow = mix(flow, p->daddr[i]);
	return (struct client){ .address = address, .flow = flow };
}
