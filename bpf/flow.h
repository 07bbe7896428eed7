/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow table: finding, renewing and forgetting connections.
 *
 * A connection is two entries. Its reply entry is inserted first, with NOEXIST:
 * that is what reserves a masquerade port, on all CPUs at once. last_seen is
 * the word that packets and the collector contend for; see enum flow_last_seen.
 */
#pragma once

#include "config.h"
#include "endpoint.h"
#include "event.h"
#include "share.h"

static __always_inline __u32 flow_now(void)
{
	__u32 now = bpf_jiffies64();

	return now == FLOW_DEAD ? 1 : now;
}

static __always_inline void flow4_key_of(struct flow4_key *key, const struct packet *p, __u16 zone)
{
	key->saddr = p->saddr[0];
	key->daddr = p->daddr[0];
	key->sport = p->sport;
	key->dport = p->dport;
	key->zone = zone;
	key->proto = p->proto;
	key->echo = echo_of(p);
}

static __always_inline void flow6_key_of(struct flow6_key *key, const struct packet *p, __u16 zone)
{
	addr6_copy(key->saddr, p->saddr);
	addr6_copy(key->daddr, p->daddr);
	key->sport = p->sport;
	key->dport = p->dport;
	key->zone = zone;
	key->proto = p->proto;
	key->echo = echo_of(p);
}

/* A key of either family, where the code is the same for both. */
union flow_key {
	struct flow4_key v4;
	struct flow6_key v6;
};

static __always_inline void *flow_table(bool v6)
{
	return v6 ? (void *)&flows6 : (void *)&flows4;
}

static __always_inline void flow_key_of(bool v6, union flow_key *key, const struct packet *p,
					__u16 zone)
{
	if (v6)
		flow6_key_of(&key->v6, p, zone);
	else
		flow4_key_of(&key->v4, p, zone);
}

static __always_inline struct flow *flow_find(bool v6, const struct packet *p, __u16 zone)
{
	union flow_key key;

	flow_key_of(v6, &key, p, zone);
	return bpf_map_lookup_elem(flow_table(v6), &key);
}

/*
 * The zone of the other entry. Entries whose other one isn't outside's deliver, and have no
 * use for a device of their own.
 */
static __always_inline __u16 flow_twin_zone(const struct flow *f)
{
	return f->flags & FLOW_TWIN_WORLD ? ZONE_WORLD : f->oif;
}

/* proto and echo are those of f's own key. */
static __always_inline void flow4_twin_key(struct flow4_key *key, const struct flow4 *f, __u8 proto,
					   __u8 echo)
{
	key->saddr = f->daddr;
	key->daddr = f->saddr;
	key->sport = f->flow.dport;
	key->dport = f->flow.sport;
	key->zone = flow_twin_zone(&f->flow);
	key->proto = proto;
	key->echo = echo_twin(echo);
}

static __always_inline void flow6_twin_key(struct flow6_key *key, const struct flow6 *f, __u8 proto,
					   __u8 echo)
{
	addr6_copy(key->saddr, f->daddr);
	addr6_copy(key->daddr, f->saddr);
	key->sport = f->flow.dport;
	key->dport = f->flow.sport;
	key->zone = flow_twin_zone(&f->flow);
	key->proto = proto;
	key->echo = echo_twin(echo);
}

/* The other entry's key, of the entry f with this key. */
static __always_inline void flow_twin_key(bool v6, union flow_key *twin, const struct flow *f,
					  const union flow_key *key)
{
	if (v6)
		flow6_twin_key(&twin->v6, (const struct flow6 *)f, key->v6.proto, key->v6.echo);
	else
		flow4_twin_key(&twin->v4, (const struct flow4 *)f, key->v4.proto, key->v4.echo);
}

/* The addresses after translation, in the entry itself. */
static __always_inline const __be32 *flow_saddr(bool v6, const struct flow *f)
{
	return v6 ? ((const struct flow6 *)f)->saddr : &((const struct flow4 *)f)->saddr;
}

static __always_inline const __be32 *flow_daddr(bool v6, const struct flow *f)
{
	return v6 ? ((const struct flow6 *)f)->daddr : &((const struct flow4 *)f)->daddr;
}

/* Copies of them. */
static __always_inline void flow_addrs(bool v6, const struct flow *f, __be32 *saddr, __be32 *daddr)
{
	if (v6) {
		addr6_copy(saddr, ((const struct flow6 *)f)->saddr);
		addr6_copy(daddr, ((const struct flow6 *)f)->daddr);
	} else {
		saddr[0] = ((const struct flow4 *)f)->saddr;
		daddr[0] = ((const struct flow4 *)f)->daddr;
	}
}

/* Whether packets of the entry answer a flow that began with an address of the host. */
static __always_inline bool flow_borrows(const struct flow *f)
{
	__u8 kind = f->flags >> FLOW_KIND_SHIFT;

	return !(f->flags & FLOW_ORIGIN) && kind_takes_ports(kind);
}

/* The entry of the other direction. p is of f's protocol, and if an echo, in f's direction. */
static __always_inline struct flow *flow_twin(bool v6, const struct flow *f, const struct packet *p)
{
	union flow_key key;

	if (v6)
		flow6_twin_key(&key.v6, (const struct flow6 *)f, p->proto, echo_of(p));
	else
		flow4_twin_key(&key.v4, (const struct flow4 *)f, p->proto, echo_of(p));
	return bpf_map_lookup_elem(flow_table(v6), &key);
}

/* Sentences an entry that was last seen then; false if a packet or another judge was faster. */
static __always_inline bool flow_condemn(struct flow *f, __u32 seen)
{
	return seen != FLOW_DEAD &&
	       __sync_val_compare_and_swap(&f->last_seen, seen, FLOW_DEAD) == seen;
}

static __always_inline __u8 flow_kind_of(const struct flow *f)
{
	return f->flags >> FLOW_KIND_SHIFT;
}

/* A reply entry came or went. */
static __always_inline void count_reply(bool v6, const union flow_key *reply, __u8 kind, __u32 slot,
					bool opened)
{
	if (v6)
		count_reply6(&reply->v6, kind, slot, opened);
	else
		count_reply4(&reply->v4, kind, slot, opened);
}

/*
 * Removes both entries of a condemned flow, of which f with this key is one, and takes it off
 * the account of who answers for it.
 */
static __always_inline void remove_both(bool v6, const union flow_key *key, const struct flow *f)
{
	void *table = flow_table(v6);
	__u8 flags = f->flags;
	union flow_key twin_key;
	struct flow *twin;
	__u32 slot;

	flow_twin_key(v6, &twin_key, f, key);
	twin = bpf_map_lookup_elem(table, &twin_key);
	slot = (flags & FLOW_ORIGIN && twin ? twin : f)->endpoint;
	if (!bpf_map_delete_elem(table, &twin_key) && flags & FLOW_ORIGIN)
		count_reply(v6, &twin_key, flags >> FLOW_KIND_SHIFT, slot, false);
	if (!bpf_map_delete_elem(table, key) && !(flags & FLOW_ORIGIN))
		count_reply(v6, key, flags >> FLOW_KIND_SHIFT, slot, false);
}

/*
 * Functions that aren't inline are global ones throughout: the verifier looks at each once,
 * for any argument, instead of once per path that leads to it. The key is copied, because
 * Linux 6.1 takes no argument of such a function for a map's key.
 */
__noinline int flow4_remove(const struct flow4_key *key, struct flow4 *f)
{
	union flow_key at;

	if (!key || !f)
		return 0;
	at.v4 = *key;
	remove_both(false, &at, &f->flow);
	return 0;
}

__noinline int flow6_remove(const struct flow6_key *key, struct flow6 *f)
{
	union flow_key at;

	if (!key || !f)
		return 0;
	at.v6 = *key;
	remove_both(true, &at, &f->flow);
	return 0;
}

static __always_inline void flow_remove(bool v6, const union flow_key *key, struct flow *f)
{
	if (v6)
		flow6_remove(&key->v6, (struct flow6 *)f);
	else
		flow4_remove(&key->v4, (struct flow4 *)f);
}

static __always_inline bool forget(bool v6, const struct packet *p, __u16 zone)
{
	union flow_key key;
	struct flow *f;

	flow_key_of(v6, &key, p, zone);
	f = bpf_map_lookup_elem(flow_table(v6), &key);
	if (!f)
		return true;
	if (!flow_condemn(f, f->last_seen))
		return false;
	flow_remove(v6, &key, f);
	return true;
}

__noinline int flow_forget4(const struct packet *p, __u32 zone)
{
	return p ? forget(false, p, zone) : true;
}

__noinline int flow_forget6(const struct packet *p, __u32 zone)
{
	return p ? forget(true, p, zone) : true;
}

/*
 * Removes both entries of the flow that p belongs to; false if another CPU or
 * the collector is at it. Whoever removes condemns first, so that nobody
 * removes what has been opened anew under the same keys.
 */
static __always_inline bool flow_forget(bool v6, const struct packet *p, __u16 zone)
{
	return v6 ? flow_forget6(p, zone) : flow_forget4(p, zone);
}

/* The endpoint that the entry was made for, if it is still the one in its slot. */
static __always_inline struct endpoint *flow_endpoint(const struct flow *f)
{
	struct endpoint *ep = endpoint_at(f->endpoint);

	if (!ep || ep->generation != f->endpoint_generation || !(ep->flags & ENDPOINT_READY))
		return NULL;
	return ep;
}

static __always_inline bool flow_is_current(const struct flow *f)
{
	return flow_endpoint(f);
}

/*
 * When the first packet of the direction came, in jiffies; 0: not yet, or so long ago
 * that jiffies could come round, or before this was taken down. Not for TCP, whose acknowledgement has the same place.
 */
static __always_inline __u32 *flow_begun(struct flow *f)
{
	return &f->tcp_ack;
}

/* How long both ways have to be in use before a flow is more than a question and its answer. */
#define ASSURED_SECONDS 2

/* Whether the direction was in use that long after the flow began, and since it was answered. */
static __always_inline bool flow_goes_on(const struct flow *f, __u32 begun, __u32 answered)
{
	return (__s32)(f->last_seen - begun) >= (__s32)(ASSURED_SECONDS * touch_jiffies) &&
	       (__s32)(f->last_seen - answered) > 0;
}

/*
 * Whether what isn't TCP is a connection that both ends keep up, as netfilter says of
 * UDP (nf_conntrack_proto_udp.c): a packet came 2 seconds after the first or later,
 * and after the answer. The times are a second coarse, in favour of "no".
 */
static __always_inline bool flow_is_assured(struct flow *f, struct flow *twin)
{
	__u32 begun = *flow_begun(f), answered = *flow_begun(twin);

	if (!(twin->state & FLOW_SEEN))
		return false;
	/* One of them lies so far back that the direction has been in use long enough. */
	if (!begun || !answered)
		return true;
	return flow_goes_on(f, begun, answered) || flow_goes_on(twin, begun, answered);
}

/*
 * Marks that a packet came. False if the collector has condemned the entry.
 * Bits are only ever added, atomically: two CPUs may carry one direction.
 *
 * Whenever the time is renewed, about once a second, the route counts as
 * outdated: so every flow follows changes of routes, with the daemon dead too.
 */
static __always_inline bool flow_touch(struct flow *f, __u32 bits, __u8 proto)
{
	__u32 last = f->last_seen, now = flow_now();

	if (last == FLOW_DEAD)
		return false;
	if ((f->state & bits) != bits) {
		if (proto != IPPROTO_TCP)
			*flow_begun(f) = now;
		__sync_fetch_and_or(&f->state, bits);
	}
	if (now - last < touch_jiffies)
		return true;
	f->route_generation--;
	/* Jiffies come round: half way, what is long ago would look as if it were to come. */
	if (proto != IPPROTO_TCP && now - *flow_begun(f) > 1u << 30)
		*flow_begun(f) = 0;
	if (first_packet)
		f->netfilter &= ~FLOW_SETTLED;
	return __sync_val_compare_and_swap(&f->last_seen, last, now) != FLOW_DEAD;
}
