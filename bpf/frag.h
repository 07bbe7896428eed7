/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments after the first have no ports. The first one of a translated
 * datagram leaves its ports here; the others find them, in whatever order they
 * come after it. An LRU: what is lost is one datagram, which the network may
 * lose anyway.
 *
 * Nobody's flood of first fragments pushes out what others wait for: an endpoint that
 * begins many datagrams within a second has the rest in a table that it shares with its
 * like. Who is counted is the container in either direction, since whoever sends from
 * outside may claim any address.
 */
#pragma once

#include "flow.h"

/* Datagrams in a second that the table has room for from each of 16 endpoints at once. */
#define FRAG_BURST 1024

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

/* Two CPUs may lose a count: the bound needs to be no more exact than that. */
static __always_inline bool begins_many(__u32 slot)
{
	struct frag_rate *rate = bpf_map_lookup_elem(&frag_rates, &slot);
	__u32 now = flow_now();

	if (!rate)
		return true;
	if (now - rate->since >= touch_jiffies) {
		rate->since = now;
		rate->count = 0;
	}
	return __sync_fetch_and_add(&rate->count, 1) >= FRAG_BURST;
}

static __always_inline int frag_store(bool v6, const struct packet *p, __u16 zone, __u32 slot)
{
	struct frag_key key;
	struct frag frag = { .sport = p->sport, .dport = p->dport, .echo = echo_of(p), .proto = p->proto };

	/* The sender, whoever receives it. */
	if (zone != ZONE_WORLD)
		endpoint_of_addr(v6, zone, p->saddr, &slot);
	frag_key_of(v6, &key, p, zone);
	if (!begins_many(slot))
		return bpf_map_update_elem(&frags, &key, &frag, BPF_ANY);
	/* Where another datagram of the same identification was, which is found first. */
	if (!bpf_map_update_elem(&frags, &key, &frag, BPF_EXIST))
		return 0;
	return bpf_map_update_elem(&busy_frags, &key, &frag, BPF_ANY);
}

__noinline int frag_store4(const struct packet *p, __u32 zone, __u32 slot)
{
	return p ? frag_store(false, p, zone, slot) : 0;
}

__noinline int frag_store6(const struct packet *p, __u32 zone, __u32 slot)
{
	return p ? frag_store(true, p, zone, slot) : 0;
}

/*
 * Lets the fragments that follow a first fragment find its ports. slot is that of the
 * endpoint that a packet from outside is for.
 */
static __always_inline void frag_remember(bool v6, const struct packet *p, __u16 zone, __u32 slot)
{
	if (!(p->flags & PKT_FRAGMENT) || p->flags & PKT_LATER_FRAGMENT)
		return;
	if (v6)
		frag_store6(p, zone, slot);
	else
		frag_store4(p, zone, slot);
}

static __always_inline int frag_load(bool v6, struct packet *p, __u16 zone)
{
	struct frag_key key;
	struct frag *frag;

	frag_key_of(v6, &key, p, zone);
	frag = bpf_map_lookup_elem(&frags, &key);
	if (!frag)
		frag = bpf_map_lookup_elem(&busy_frags, &key);
	if (!frag)
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
