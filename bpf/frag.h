/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments after the first have no ports. The first one of a translated
 * datagram leaves its ports here; the others find them, in whatever order they
 * come after it. An LRU: what is lost is one datagram, which the network may
 * lose anyway.
 */
#pragma once

#include "maps.h"
#include "packet.h"

static __always_inline void frag_key_of(bool v6, struct frag_key *key, const struct packet *p,
					__u16 zone)
{
	__builtin_memset(key, 0, sizeof(*key));
	addr_copy(v6, key->saddr, p->saddr);
	addr_copy(v6, key->daddr, p->daddr);
	key->id = p->frag_id;
	key->zone = zone;
	key->proto = p->proto;
	key->pad = v6;
}

static __always_inline int frag_store(bool v6, const struct packet *p, __u16 zone)
{
	struct frag_key key;
	struct frag frag = { .sport = p->sport, .dport = p->dport };

	frag_key_of(v6, &key, p, zone);
	return bpf_map_update_elem(&frags, &key, &frag, BPF_ANY);
}

__noinline int frag_store4(const struct packet *p, __u32 zone)
{
	return p ? frag_store(false, p, zone) : 0;
}

__noinline int frag_store6(const struct packet *p, __u32 zone)
{
	return p ? frag_store(true, p, zone) : 0;
}

/* Lets the fragments that follow a first fragment find its ports. */
static __always_inline void frag_remember(bool v6, const struct packet *p, __u16 zone)
{
	if (!(p->flags & PKT_FRAGMENT) || p->flags & PKT_LATER_FRAGMENT)
		return;
	if (v6)
		frag_store6(p, zone);
	else
		frag_store4(p, zone);
}

static __always_inline int frag_load(bool v6, struct packet *p, __u16 zone)
{
	struct frag_key key;
	struct frag *frag;

	frag_key_of(v6, &key, p, zone);
	frag = bpf_map_lookup_elem(&frags, &key);
	if (!frag)
		return false;
	p->sport = frag->sport;
	p->dport = frag->dport;
	p->flags |= PKT_RESOLVED;
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
