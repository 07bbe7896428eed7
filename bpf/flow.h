/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow table: finding, tracking, opening and forgetting connections.
 *
 * A connection is two entries. Its reply entry is inserted first, with NOEXIST:
 * that is what reserves a masquerade port, on all CPUs at once. last_seen is
 * the word that packets and the collector contend for; see enum flow_last_seen.
 */
#pragma once

#include "config.h"
#include "csum.h"
#include "endpoint.h"
#include "event.h"
#include "scratch.h"

#define EEXIST 17

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
	key->pad = 0;
}

static __always_inline void flow6_key_of(struct flow6_key *key, const struct packet *p, __u16 zone)
{
	addr6_copy(key->saddr, p->saddr);
	addr6_copy(key->daddr, p->daddr);
	key->sport = p->sport;
	key->dport = p->dport;
	key->zone = zone;
	key->proto = p->proto;
	key->pad = 0;
}

static __always_inline struct flow *flow_find(bool v6, const struct packet *p, __u16 zone)
{
	if (v6) {
		struct flow6_key key;

		flow6_key_of(&key, p, zone);
		return bpf_map_lookup_elem(&flows6, &key);
	} else {
		struct flow4_key key;

		flow4_key_of(&key, p, zone);
		return bpf_map_lookup_elem(&flows4, &key);
	}
}

static __always_inline __u16 flow_twin_zone(const struct flow *f)
{
	return f->flags & FLOW_TWIN_WORLD ? ZONE_WORLD : ZONE_CONTAINER;
}

static __always_inline void flow4_twin_key(struct flow4_key *key, const struct flow4 *f, __u8 proto)
{
	key->saddr = f->daddr;
	key->daddr = f->saddr;
	key->sport = f->flow.dport;
	key->dport = f->flow.sport;
	key->zone = flow_twin_zone(&f->flow);
	key->proto = proto;
	key->pad = 0;
}

static __always_inline void flow6_twin_key(struct flow6_key *key, const struct flow6 *f, __u8 proto)
{
	addr6_copy(key->saddr, f->daddr);
	addr6_copy(key->daddr, f->saddr);
	key->sport = f->flow.dport;
	key->dport = f->flow.sport;
	key->zone = flow_twin_zone(&f->flow);
	key->proto = proto;
	key->pad = 0;
}

/* The addresses after translation. */
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

/* The entry of the other direction. */
static __always_inline struct flow *flow_twin(bool v6, const struct flow *f, __u8 proto)
{
	if (v6) {
		struct flow6_key key;

		flow6_twin_key(&key, (const struct flow6 *)f, proto);
		return bpf_map_lookup_elem(&flows6, &key);
	} else {
		struct flow4_key key;

		flow4_twin_key(&key, (const struct flow4 *)f, proto);
		return bpf_map_lookup_elem(&flows4, &key);
	}
}

/* Sentences an entry that was last seen then; false if a packet or another judge was faster. */
static __always_inline bool flow_condemn(struct flow *f, __u32 seen)
{
	return seen != FLOW_DEAD &&
	       __sync_val_compare_and_swap(&f->last_seen, seen, FLOW_DEAD) == seen;
}

/*
 * Removes both entries of the flow that p belongs to; false if another CPU or
 * the collector is at it. Whoever removes condemns first, so that nobody
 * removes what has been opened anew under the same keys.
 *
 * Functions that aren't inline are global ones throughout: the verifier looks
 * at each once, for any argument, instead of once per path that leads to it.
 */
__noinline int flow_forget4(const struct packet *p, __u32 zone)
{
	struct flow4_key key, twin;
	struct flow4 *f;

	if (!p)
		return true;
	flow4_key_of(&key, p, zone);
	f = bpf_map_lookup_elem(&flows4, &key);
	if (!f)
		return true;
	if (!flow_condemn(&f->flow, f->flow.last_seen))
		return false;
	flow4_twin_key(&twin, f, p->proto);
	bpf_map_delete_elem(&flows4, &twin);
	bpf_map_delete_elem(&flows4, &key);
	return true;
}

__noinline int flow_forget6(const struct packet *p, __u32 zone)
{
	struct flow6_key key, twin;
	struct flow6 *f;

	if (!p)
		return true;
	flow6_key_of(&key, p, zone);
	f = bpf_map_lookup_elem(&flows6, &key);
	if (!f)
		return true;
	if (!flow_condemn(&f->flow, f->flow.last_seen))
		return false;
	flow6_twin_key(&twin, f, p->proto);
	bpf_map_delete_elem(&flows6, &twin);
	bpf_map_delete_elem(&flows6, &key);
	return true;
}

static __always_inline bool flow_forget(bool v6, const struct packet *p, __u16 zone)
{
	return v6 ? flow_forget6(p, zone) : flow_forget4(p, zone);
}

/* The endpoint that the entry was made for is still the one in its slot. */
static __always_inline bool flow_is_current(const struct flow *f)
{
	struct endpoint *ep = endpoint_at(f->endpoint);

	return ep && ep->generation == f->endpoint_generation && ep->flags & ENDPOINT_READY;
}

/*
 * Marks that a packet came. False if the collector has condemned the entry.
 * Bits are only ever added, atomically: two CPUs may carry one direction.
 *
 * Whenever the time is renewed, about once a second, the route counts as
 * outdated: so every flow follows changes of routes, with the daemon dead too.
 */
static __always_inline bool flow_touch(struct flow *f, __u32 bits)
{
	__u32 last = f->last_seen, now = flow_now();

	if (last == FLOW_DEAD)
		return false;
	if ((f->state & bits) != bits)
		__sync_fetch_and_or(&f->state, bits);
	if (now - last < touch_jiffies)
		return true;
	f->route_generation--;
	return __sync_val_compare_and_swap(&f->last_seen, last, now) != FLOW_DEAD;
}

/* Sequence number after the packet's last byte. */
static __always_inline __u32 tcp_end(const struct __sk_buff *ctx, const struct packet *p)
{
	__u32 len = p->l3_len && !ctx->gso_size ? p->l3_len + ETH_HLEN : ctx->len;
	__u32 end = p->tcp_seq + len - p->l4_off - p->l4_len;

	return end + !!(p->tcp_flags & TCP_SYN) + !!(p->tcp_flags & TCP_FIN);
}

static __always_inline bool tcp_is_established(const struct flow *f, const struct flow *twin)
{
	return f->state & FLOW_ACK && twin->state & FLOW_ACK;
}

static __always_inline bool tcp_is_closed(const struct flow *f, const struct flow *twin)
{
	return (f->state | twin->state) & FLOW_RST || f->state & twin->state & FLOW_FIN;
}

/*
 * How far a packet's numbers may lie from those of the packet before it: more
 * than a burst, little enough that a blind sender hits neither the sequence nor
 * the acknowledgement number (1 in 2048 each, and both are needed).
 */
#define TCP_SLACK (1u << 20)

/* Largest window that RFC 7323 allows a sender to have filled is 2^30; this is ample. */
#define TCP_WINDOW (1u << 24)

static __always_inline bool tcp_near(__u32 a, __u32 b)
{
	return a - b + TCP_SLACK < 2 * TCP_SLACK;
}

/*
 * Whether the numbers of a packet are to be believed. What a container sends is
 * its own, by the guards. From outside anybody may claim to be the peer, so
 * there a packet has to continue what the direction has shown so far.
 */
static __always_inline bool tcp_continues(const struct packet *p, const struct flow *f, __u16 zone)
{
	if (zone == ZONE_CONTAINER || !(f->state & (FLOW_SYN | FLOW_ACK)))
		return true;
	return tcp_near(p->tcp_seq, f->tcp_end) &&
	       (!(f->state & FLOW_ACK) || tcp_near(p->tcp_ack, f->tcp_ack));
}

/* A FIN after such losses that the direction's own numbers are out of date. */
static __always_inline bool tcp_fin_fits(const struct packet *p, const struct flow *twin)
{
	return p->tcp_seq - twin->tcp_ack < TCP_WINDOW && twin->tcp_end - p->tcp_ack < TCP_WINDOW;
}

/*
 * Who may end a connection by RST: before it is established anyone; after that
 * only the exact sequence number that the peer expects, or that follows what
 * the sender sent last (RFC 5961, section 3.2, as nf_conntrack has it). Any
 * other RST is passed on for the endpoint to judge, and shortens nothing.
 */
static __always_inline bool tcp_rst_is_genuine(const struct packet *p, const struct flow *f,
					       const struct flow *twin)
{
	return !tcp_is_established(f, twin) || p->tcp_seq == twin->tcp_ack ||
	       p->tcp_seq == f->tcp_end;
}

enum flow_fate {
	FLOW_FOUND,
	FLOW_MISSING, /* none, or one that this packet supersedes */
	FLOW_LOST,    /* condemned this very moment */
};

/* SYN, RST and a FIN in doubt, which need the other direction's view. */
static __always_inline enum flow_fate track_tcp_event(const struct packet *p, struct flow *f,
						      const struct flow *twin)
{
	if (!twin)
		return FLOW_MISSING;
	if (p->tcp_flags & TCP_RST) {
		if (tcp_rst_is_genuine(p, f, twin))
			__sync_fetch_and_or(&f->state, FLOW_RST);
		return FLOW_FOUND;
	}
	if (p->tcp_flags & TCP_FIN) {
		if (tcp_fin_fits(p, twin))
			__sync_fetch_and_or(&f->state, FLOW_FIN);
		return FLOW_FOUND;
	}
	/* A SYN recycles what is closed (RFC 6056 port reuse, RFC 1122 4.2.2.13). */
	if (!(p->tcp_flags & TCP_ACK) && tcp_is_closed(f, twin))
		return FLOW_MISSING;
	return FLOW_FOUND;
}

__noinline int track_tcp_event4(const struct packet *p, struct flow4 *f)
{
	return p && f ? track_tcp_event(p, &f->flow, flow_twin(false, &f->flow, p->proto)) :
			FLOW_MISSING;
}

__noinline int track_tcp_event6(const struct packet *p, struct flow6 *f)
{
	return p && f ? track_tcp_event(p, &f->flow, flow_twin(true, &f->flow, p->proto)) :
			FLOW_MISSING;
}

static __always_inline enum flow_fate flow_track_tcp_event(bool v6, const struct packet *p,
							   struct flow *f)
{
	return v6 ? track_tcp_event6(p, (struct flow6 *)f) : track_tcp_event4(p, (struct flow4 *)f);
}

/* The bits that a segment adds, its numbers taken down. */
static __always_inline __u32 flow_track_tcp(struct __sk_buff *ctx, const struct packet *p,
					    struct flow *f, __u16 zone)
{
	__u32 bits = 0;

	if (p->tcp_flags & TCP_RST || !tcp_continues(p, f, zone))
		return 0;
	if (p->tcp_flags & TCP_SYN)
		bits |= FLOW_SYN;
	if (p->tcp_flags & TCP_FIN)
		bits |= FLOW_FIN;
	if (p->tcp_flags & TCP_ACK) {
		bits |= FLOW_ACK;
		f->tcp_ack = p->tcp_ack;
		f->tcp_end = tcp_end(ctx, p);
	}
	return bits;
}

/*
 * Brings the entry up to date with a packet of its direction. FLOW_MISSING
 * means that the caller shall forget the entry and treat the packet as new.
 */
static __always_inline enum flow_fate flow_track(struct __sk_buff *ctx, bool v6,
						 const struct packet *p, struct flow *f, __u16 zone)
{
	__u32 bits = FLOW_SEEN;

	if (!flow_is_current(f))
		return FLOW_MISSING;
	if (p->proto == IPPROTO_TCP && !(p->flags & PKT_LATER_FRAGMENT)) {
		__u32 tcp_bits = flow_track_tcp(ctx, p, f, zone);

		if (p->tcp_flags & (TCP_SYN | TCP_RST) ||
		    (p->tcp_flags & TCP_FIN && !(tcp_bits & FLOW_FIN))) {
			enum flow_fate fate = flow_track_tcp_event(v6, p, f);

			if (fate != FLOW_FOUND)
				return fate;
		}
		bits |= tcp_bits;
	}
	return flow_touch(f, bits) ? FLOW_FOUND : FLOW_LOST;
}

static __always_inline __u32 route_generation(void)
{
	__u32 zero = 0;
	struct host_state *state = bpf_map_lookup_elem(&host_state, &zero);

	return state ? state->route_generation : 0;
}

/* A route whose MTU isn't known yet counts as outdated: the next packet asks again. */
static __always_inline __u32 route_generation_of(const struct flow_plan *plan)
{
	return route_generation() - !plan->mtu;
}

static __always_inline __u8 flow_flags_of(bool v6, const struct packet *p,
					  const struct flow_plan *plan)
{
	__u8 flags = plan->kind << FLOW_KIND_SHIFT;

	if (p->sport != plan->sport || p->dport != plan->dport)
		flags |= FLOW_PORTS | FLOW_REWRITE;
	if (!addr_equal(v6, p->saddr, plan->saddr) || !addr_equal(v6, p->daddr, plan->daddr))
		flags |= FLOW_REWRITE;
	return flags;
}

static __always_inline void flow_fill_origin(bool v6, const struct __sk_buff *ctx,
					     const struct packet *p, const struct flow_plan *plan,
					     struct flow *f)
{
	f->last_seen = flow_now();
	f->state = FLOW_SEEN;
	if (p->proto == IPPROTO_TCP) {
		f->state |= p->tcp_flags & TCP_SYN ? FLOW_SYN : FLOW_ACK;
		f->tcp_ack = p->tcp_ack;
		f->tcp_end = tcp_end(ctx, p);
	}
	f->addr_diff = csum_add(csum_addr_diff(v6, p->saddr, plan->saddr),
				csum_addr_diff(v6, p->daddr, plan->daddr));
	f->port_diff = csum_add(csum_field_diff(p->sport, plan->sport),
				csum_field_diff(p->dport, plan->dport));
	f->oif = plan->oif;
	f->route_generation = route_generation_of(plan);
	f->sport = plan->sport;
	f->dport = plan->dport;
	f->endpoint = plan->origin_endpoint;
	f->endpoint_generation = plan->origin_generation;
	f->mtu = plan->mtu;
	f->action = plan->origin_action;
	f->flags = flow_flags_of(v6, p, plan) | FLOW_ORIGIN |
		   (plan->twin_zone == ZONE_WORLD ? FLOW_TWIN_WORLD : 0);
}

/*
 * Turns an origin's entry into its twin: the inverse translation, for packets
 * not seen yet. last_seen is old enough for the first of them to renew it.
 */
static __always_inline void flow_flip(const struct packet *p, const struct flow_plan *plan,
				      struct flow *f)
{
	__u32 stale = f->last_seen - touch_jiffies;

	f->last_seen = stale == FLOW_DEAD ? stale - 1 : stale;
	f->state = 0;
	f->tcp_ack = 0;
	f->tcp_end = 0;
	f->addr_diff = ~f->addr_diff;
	f->port_diff = ~f->port_diff;
	f->sport = p->dport;
	f->dport = p->sport;
	f->endpoint = plan->reply_endpoint;
	f->endpoint_generation = plan->reply_generation;
	f->action = plan->reply_action;
	f->flags &= ~(FLOW_ORIGIN | FLOW_TWIN_WORLD);
	if (plan->zone == ZONE_WORLD)
		f->flags |= FLOW_TWIN_WORLD;
}

static __always_inline long flow4_insert_reply(const struct __sk_buff *ctx, const struct packet *p,
					       const struct flow_plan *plan)
{
	struct flow4 *f = (struct flow4 *)new_flow();
	struct flow4_key key;

	if (!f)
		return -1;
	flow_fill_origin(false, ctx, p, plan, &f->flow);
	flow_flip(p, plan, &f->flow);
	f->saddr = p->daddr[0];
	f->daddr = p->saddr[0];
	f->nexthop = plan->nexthop[0];
	key.saddr = plan->daddr[0];
	key.daddr = plan->saddr[0];
	key.sport = plan->dport;
	key.dport = plan->sport;
	key.zone = plan->twin_zone;
	key.proto = p->proto;
	key.pad = 0;
	return bpf_map_update_elem(&flows4, &key, f, BPF_NOEXIST);
}

static __always_inline long flow4_insert_origin(const struct __sk_buff *ctx, const struct packet *p,
						const struct flow_plan *plan)
{
	struct flow4 *f = (struct flow4 *)new_flow();
	struct flow4_key key;

	if (!f)
		return -1;
	flow_fill_origin(false, ctx, p, plan, &f->flow);
	f->saddr = plan->saddr[0];
	f->daddr = plan->daddr[0];
	f->nexthop = plan->nexthop[0];
	flow4_key_of(&key, p, plan->zone);
	return bpf_map_update_elem(&flows4, &key, f, BPF_NOEXIST);
}

static __always_inline void flow4_remove_reply(const struct packet *p, const struct flow_plan *plan)
{
	struct flow4_key key = {
		.saddr = plan->daddr[0],
		.daddr = plan->saddr[0],
		.sport = plan->dport,
		.dport = plan->sport,
		.zone = plan->twin_zone,
		.proto = p->proto,
	};

	bpf_map_delete_elem(&flows4, &key);
}

static __always_inline void flow6_reply_key(struct flow6_key *key, const struct packet *p,
					    const struct flow_plan *plan)
{
	addr6_copy(key->saddr, plan->daddr);
	addr6_copy(key->daddr, plan->saddr);
	key->sport = plan->dport;
	key->dport = plan->sport;
	key->zone = plan->twin_zone;
	key->proto = p->proto;
	key->pad = 0;
}

static __always_inline long flow6_insert_reply(const struct __sk_buff *ctx, const struct packet *p,
					       const struct flow_plan *plan)
{
	struct flow6_key *key = new_key();
	struct flow6 *f = new_flow();

	if (!f || !key)
		return -1;
	flow_fill_origin(true, ctx, p, plan, &f->flow);
	flow_flip(p, plan, &f->flow);
	addr6_copy(f->saddr, p->daddr);
	addr6_copy(f->daddr, p->saddr);
	addr6_copy(f->nexthop, plan->nexthop);
	flow6_reply_key(key, p, plan);
	return bpf_map_update_elem(&flows6, key, f, BPF_NOEXIST);
}

static __always_inline long flow6_insert_origin(const struct __sk_buff *ctx, const struct packet *p,
						const struct flow_plan *plan)
{
	struct flow6_key *key = new_key();
	struct flow6 *f = new_flow();

	if (!f || !key)
		return -1;
	flow_fill_origin(true, ctx, p, plan, &f->flow);
	addr6_copy(f->saddr, plan->saddr);
	addr6_copy(f->daddr, plan->daddr);
	addr6_copy(f->nexthop, plan->nexthop);
	flow6_key_of(key, p, plan->zone);
	return bpf_map_update_elem(&flows6, key, f, BPF_NOEXIST);
}

static __always_inline void flow6_remove_reply(const struct packet *p, const struct flow_plan *plan)
{
	struct flow6_key key;

	flow6_reply_key(&key, p, plan);
	bpf_map_delete_elem(&flows6, &key);
}

/*
 * Claims the reply tuple. DROP_NONE: claimed; DROP_NO_PORT: taken by another
 * flow, try another source port; DROP_FLOW_TABLE_FULL.
 */
__noinline int flow4_claim(struct __sk_buff *ctx, const struct packet *p,
			   const struct flow_plan *plan)
{
	long err;

	if (!p || !plan)
		return DROP_MALFORMED;
	err = flow4_insert_reply(ctx, p, plan);
	if (!err)
		return DROP_NONE;
	return err == -EEXIST ? DROP_NO_PORT : DROP_FLOW_TABLE_FULL;
}

__noinline int flow6_claim(struct __sk_buff *ctx, const struct packet *p,
			   const struct flow_plan *plan)
{
	long err;

	if (!p || !plan)
		return DROP_MALFORMED;
	err = flow6_insert_reply(ctx, p, plan);
	if (!err)
		return DROP_NONE;
	return err == -EEXIST ? DROP_NO_PORT : DROP_FLOW_TABLE_FULL;
}

static __always_inline enum drop_reason flow_claim(struct __sk_buff *ctx, bool v6,
						   const struct packet *p,
						   const struct flow_plan *plan)
{
	return v6 ? flow6_claim(ctx, p, plan) : flow4_claim(ctx, p, plan);
}

/*
 * Inserts the origin entry of a claimed flow. If another CPU opened the same
 * flow meanwhile, its entry stands and this CPU's claim is withdrawn.
 */
__noinline int flow4_complete(struct __sk_buff *ctx, const struct packet *p,
			      const struct flow_plan *plan)
{
	long err;

	if (!p || !plan)
		return DROP_MALFORMED;
	err = flow4_insert_origin(ctx, p, plan);

	if (!err)
		return DROP_NONE;
	flow4_remove_reply(p, plan);
	return err == -EEXIST ? DROP_NONE : DROP_FLOW_TABLE_FULL;
}

__noinline int flow6_complete(struct __sk_buff *ctx, const struct packet *p,
			      const struct flow_plan *plan)
{
	long err;

	if (!p || !plan)
		return DROP_MALFORMED;
	err = flow6_insert_origin(ctx, p, plan);

	if (!err)
		return DROP_NONE;
	flow6_remove_reply(p, plan);
	return err == -EEXIST ? DROP_NONE : DROP_FLOW_TABLE_FULL;
}

static __always_inline enum drop_reason flow_complete(struct __sk_buff *ctx, bool v6,
						      const struct packet *p,
						      const struct flow_plan *plan)
{
	return v6 ? flow6_complete(ctx, p, plan) : flow4_complete(ctx, p, plan);
}
