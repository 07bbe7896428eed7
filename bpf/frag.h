/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments after the first have no ports. The first one of a translated
 * datagram leaves its ports here; the others find them. Those that come before it
 * wait (park.bpf.c). An LRU: what is lost is one datagram, which the network may
 * lose anyway.
 *
 * Nobody's flood of first fragments pushes out what others wait for: an endpoint that
 * begins many datagrams within a second has the rest in a table that it shares with its
 * like. Who is counted is the container in either direction, since whoever sends from
 * outside may claim any address.
 */
#pragma once

#include "rate.h"
#include "scratch.h"

/* Datagrams in a second that the table has room for from each of 16 endpoints at once. */
#define FRAG_BURST 1024

/* For how long pieces make one datagram: Linux's own time (ipfrag_time). */
#define FRAG_SECONDS 30

/* For how long the first of two first fragments counts: an 8th of a second. */
#define FRAG_SETTLED_SHIFT 3

static __always_inline void frag_key_of(bool v6, struct frag_key *key, const struct packet *p,
					__u16 zone)
{
	__builtin_memset(key, 0, sizeof(*key));
	addr_copy(v6, key->saddr, p->saddr);
	addr_copy(v6, key->daddr, p->daddr);
	key->id = p->frag_id;
	key->zone = zone;
	/* Only the first fragment has what follows the first extension header, if there is one. */
	key->proto = v6 ? p->frag_proto : p->proto;
	key->pad = v6;
}

static __always_inline struct frag *frag_find(struct frag_key *key)
{
	struct frag *frag = bpf_map_lookup_elem(&frags, key);

	return frag ? frag : bpf_map_lookup_elem(&busy_frags, key);
}

/*
 * Whether another first fragment, with other ports, has just been there: the pieces in between
 * are that one's. An older one is of an earlier datagram, since identifications come again.
 */
static __always_inline bool frag_is_second(const struct frag *frag, const struct frag *old)
{
	return old && frag->since - old->since < touch_jiffies >> FRAG_SETTLED_SHIFT &&
	       (frag->sport != old->sport || frag->dport != old->dport || frag->echo != old->echo);
}

static __always_inline void frag_put(bool v6, const struct packet *p, __u16 zone, __u32 slot)
{
	struct frag frag = {
		.sport = p->sport,
		.dport = p->dport,
		.echo = echo_of(p),
		.proto = p->proto,
		.since = flow_now(),
	};
	struct frag_key key;

	/* The sender, whoever receives it. */
	if (zone != ZONE_WORLD)
		endpoint_of_addr(v6, zone, p->saddr, &slot);
	frag_key_of(v6, &key, p, zone);
	if (frag_is_second(&frag, frag_find(&key)))
		return;
	if (!is_many(bpf_map_lookup_elem(&frag_rates, &slot), FRAG_BURST)) {
		bpf_map_update_elem(&frags, &key, &frag, BPF_ANY);
		return;
	}
	/* Where another datagram of the same identification was, which is found first. */
	if (bpf_map_update_elem(&frags, &key, &frag, BPF_EXIST))
		bpf_map_update_elem(&busy_frags, &key, &frag, BPF_ANY);
}

/* The sender of a fragment, as rate.h counts them. */
static __always_inline __u32 park_sender(bool v6, const struct packet *p, __u16 zone)
{
	__u32 slot = 0;

	if (zone == ZONE_WORLD)
		return stranger(v6, p);
	endpoint_of_addr(v6, zone, p->saddr, &slot);
	return slot;
}

/* The first row of outside, or of all containers. */
static __always_inline __u32 park_side(__u16 zone)
{
	return zone == ZONE_WORLD ? 0 : PARK_ROWS + 1;
}

static __always_inline __u32 park_row(__u16 zone, __u32 sender)
{
	return park_side(zone) + (sender & (PARK_ROWS - 1));
}

/* The row of those that park many. */
static __always_inline __u32 park_busy_row(__u16 zone)
{
	return park_side(zone) + PARK_ROWS;
}

/*
 * Whether a fragment may be parked in the row. Who asks has noted the ports before, and the
 * atomic operation keeps that order: either it finds what another CPU parks at the same
 * time, or that one finds the ports (park.bpf.c).
 */
static __always_inline bool row_is_used(__u32 index)
{
	struct parked_row *row = bpf_map_lookup_elem(&parked_rows, &index);
	__u32 since = row ? __sync_fetch_and_or(&row->since, 0) : 0;

	return since && flow_now() - since <= FRAG_SECONDS * touch_jiffies;
}

/* Notes the ports. Returns whether others of the datagram's pieces may wait for them. */
static __always_inline int frag_store(bool v6, const struct packet *p, __u16 zone, __u32 slot)
{
	frag_put(v6, p, zone, slot);
	return row_is_used(park_row(zone, park_sender(v6, p, zone))) ||
	       row_is_used(park_busy_row(zone));
}

__noinline int frag_store4(const struct packet *p, __u32 zone, __u32 slot)
{
	return p ? frag_store(false, p, zone, slot) : 0;
}

__noinline int frag_store6(const struct packet *p, __u32 zone, __u32 slot)
{
	return p ? frag_store(true, p, zone, slot) : 0;
}

static __always_inline bool is_first_fragment(const struct packet *p)
{
	return (p->flags & (PKT_FRAGMENT | PKT_LATER_FRAGMENT)) == PKT_FRAGMENT;
}

/* A later fragment whose first one wasn't seen. */
static __always_inline bool is_orphan(const struct packet *p)
{
	return (p->flags & (PKT_LATER_FRAGMENT | PKT_RESOLVED)) == PKT_LATER_FRAGMENT;
}

/* Before a packet is looked at that may be a first fragment: another one's word is void. */
static __always_inline void frag_begin(void)
{
	struct scratch *s = scratch();

	if (s)
		s->parking.awaited = false;
}

/*
 * Lets the datagram's other fragments find the first one's ports. slot is that of the
 * endpoint that a packet from outside is for. Those that wait are for leave_first() to
 * bring back.
 */
static __always_inline void frag_remember(bool v6, const struct packet *p, __u16 zone, __u32 slot)
{
	struct scratch *s = scratch();

	if (!s || !is_first_fragment(p))
		return;
	s->parking.awaited = v6 ? frag_store6(p, zone, slot) : frag_store4(p, zone, slot);
}

/*
 * The same of a datagram to the host itself, so that its later fragments aren't parked.
 * The stack has those that came before.
 */
static __always_inline void frag_remember_own(bool v6, const struct packet *p, __u16 zone)
{
	struct scratch *s = scratch();

	/* No endpoint's: among those of the busy. */
	frag_remember(v6, p, zone, ALL_ENDPOINTS);
	if (s)
		s->parking.awaited = false;
}

static __always_inline int frag_load(bool v6, struct packet *p, __u16 zone)
{
	struct frag_key key;
	struct frag *frag;

	frag_key_of(v6, &key, p, zone);
	frag = frag_find(&key);
	if (!frag || flow_now() - frag->since > FRAG_SECONDS * touch_jiffies)
		return false;
	p->sport = frag->sport;
	p->dport = frag->dport;
	p->flags |= PKT_RESOLVED | frag->echo;
	if (v6)
		p->proto = frag->proto;
	return true;
}

__noinline int frag_load4(struct packet *p, __u32 zone)
{
	return p ? frag_load(false, p, zone) : false;
}

__noinline int frag_load6(struct packet *p, __u32 zone)
{
	return p ? frag_load(true, p, zone) : false;
}

/* Gives a later fragment its ports. False if its first fragment wasn't seen. */
static __always_inline bool frag_resolve(bool v6, struct packet *p, __u16 zone)
{
	if (!(p->flags & PKT_LATER_FRAGMENT))
		return true;
	return v6 ? frag_load6(p, zone) : frag_load4(p, zone);
}
