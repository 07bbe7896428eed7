// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Brings connections over from tables with another layout, run by the control plane. It
 * has converted the entries, half a connection each, and may hand in the same one again
 * later: while older programs work with the older tables their entries change, and when
 * these programs work beside them already, what has come in here meanwhile counts too.
 *
 * An entry is inserted with NOEXIST, as a packet would, and counted as if a packet had
 * opened it: the reply's first, which reserves the tuple, and the origin's only if that is
 * there. If there is one for the same connection, it gains what the other one knows more;
 * if there is another connection's, the one that was seen last stays, and of the other one
 * neither half.
 */
#include "early_drop.h"
#include "track.h"

static __always_inline bool is_later(__u32 a, __u32 b)
{
	return (__s32)(a - b) > 0;
}

/* Whether both are entries of one tuple: what routes decide may differ. */
static __always_inline bool leads_alike(bool v6, const struct flow *a, const struct flow *b)
{
	int n = v6 ? 16 : 4;

	return a->sport == b->sport && a->dport == b->dport && a->endpoint == b->endpoint &&
	       a->endpoint_generation == b->endpoint_generation && a->flags == b->flags &&
	       !__builtin_memcmp(flow_saddr(v6, a), flow_saddr(v6, b), n) &&
	       !__builtin_memcmp(flow_daddr(v6, a), flow_daddr(v6, b), n);
}

static __always_inline bool has_numbers(const struct flow *f)
{
	return f->state & (FLOW_SYN | FLOW_ACK);
}

static __always_inline bool has_ended(const struct flow *f)
{
	return f->state & (FLOW_FIN | FLOW_RST);
}

/* What the entry from, which leads alike, is for f. */
enum carry_news {
	NEWS_NONE,
	NEWS_MORE,  /* of the same connection */
	NEWS_OTHER, /* of the next one with its ports */
};

/*
 * A tuple of TCP may be taken again at once. What went on after the end of a connection,
 * or began elsewhere, isn't the same one. last_seen is renewed about once a second, so a
 * connection's older entry may look as old as f while a lot was sent.
 */
static __always_inline enum carry_news news_of_tcp(const struct flow *f, const struct flow *from)
{
	bool later = is_later(from->last_seen, f->last_seen);
	bool earlier = is_later(f->last_seen, from->last_seen);

	if (has_numbers(f) && has_numbers(from) && tcp_near(from->tcp_end, f->tcp_end)) {
		if (has_ended(from) && is_later(f->tcp_end, from->tcp_end))
			return NEWS_NONE;
		if (has_ended(f) && later && is_later(from->tcp_end, f->tcp_end))
			return NEWS_OTHER;
		return NEWS_MORE;
	}
	if (earlier)
		return NEWS_NONE;
	return later ? NEWS_OTHER : NEWS_MORE;
}

static __always_inline void carry_numbers(struct flow *f, const struct flow *from)
{
	f->tcp_ack = from->tcp_ack;
	f->tcp_end = from->tcp_end;
}

/* Packets may be changing f. */
static __always_inline void carry_news(struct flow *f, struct flow *from, __u8 proto)
{
	enum carry_news news = proto == IPPROTO_TCP ? news_of_tcp(f, from) : NEWS_MORE;
	__u32 seen = f->last_seen, state = f->state;

	if (news == NEWS_NONE || seen == FLOW_DEAD)
		return;
	if (news == NEWS_OTHER) {
		carry_numbers(f, from);
		__sync_val_compare_and_swap(&f->state, state, from->state);
	} else {
		if (proto != IPPROTO_TCP && from->state & FLOW_SEEN && !(state & FLOW_SEEN))
			*flow_begun(f) = *flow_begun(from);
		if (proto == IPPROTO_TCP && has_numbers(from) &&
		    (!has_numbers(f) || is_later(from->tcp_end, f->tcp_end)))
			carry_numbers(f, from);
		if (from->state & ~state)
			__sync_fetch_and_or(&f->state, from->state);
	}
	if (is_later(from->last_seen, seen))
		__sync_val_compare_and_swap(&f->last_seen, seen, from->last_seen);
}

/* Keys are of either family: an IPv4 one lies in the first bytes. */
static __always_inline struct flow *carry_find(bool v6, const struct flow6_key *key)
{
	return v6 ? bpf_map_lookup_elem(&flows6, key) : bpf_map_lookup_elem(&flows4, key);
}

static __always_inline long carry_insert(bool v6, const struct flow6_key *key,
					 const struct flow *from)
{
	return v6 ? bpf_map_update_elem(&flows6, key, from, BPF_NOEXIST) :
		    bpf_map_update_elem(&flows4, key, from, BPF_NOEXIST);
}

static __always_inline void carry_twin_key(bool v6, struct flow6_key *twin, const struct flow *f,
					   const struct flow6_key *key)
{
	const struct flow4_key *key4 = (const struct flow4_key *)key;

	if (v6)
		flow6_twin_key(twin, (const struct flow6 *)f, key->proto, key->echo);
	else
		flow4_twin_key((struct flow4_key *)twin, (const struct flow4 *)f, key4->proto,
			       key4->echo);
}

static __always_inline bool is_key(bool v6, const struct flow6_key *a, const struct flow6_key *b)
{
	return v6 ? !__builtin_memcmp(a, b, sizeof(struct flow6_key)) :
		    !__builtin_memcmp(a, b, sizeof(struct flow4_key));
}

/* Whether the other entry of f, which has this key, has that one. */
static __always_inline bool leads_to(bool v6, const struct flow *f, const struct flow6_key *key,
				     const struct flow6_key *that)
{
	struct flow6_key twin;

	carry_twin_key(v6, &twin, f, key);
	return is_key(v6, &twin, that);
}

static __always_inline void carry_count(bool v6, const struct flow6_key *reply,
					const struct flow *f, bool opened)
{
	if (v6)
		count_reply6(reply, flow_kind_of(f), f->endpoint, opened);
	else
		count_reply4((const struct flow4_key *)reply, flow_kind_of(f), f->endpoint, opened);
}

/* Removes another connection's entry, with its other one, if from was seen later. */
static __always_inline bool supersede(bool v6, const struct flow6_key *key, struct flow *f,
				      const struct flow *from)
{
	__u32 seen = f->last_seen;

	if (!is_later(from->last_seen, seen) || !flow_condemn(f, seen))
		return false;
	if (v6)
		flow6_remove(key, (struct flow6 *)f);
	else
		flow4_remove((const struct flow4_key *)key, (struct flow4 *)f);
	return true;
}

static __always_inline __u32 carry_reply(bool v6, const struct flow6_key *key, struct flow *f,
					 const struct flow *from)
{
	long err;

	if (f && !supersede(v6, key, f, from))
		return CARRY_TAKEN;
	err = carry_insert(v6, key, from);
	if (err)
		return err == -EEXIST ? CARRY_TAKEN : CARRY_FULL;
	carry_count(v6, key, from, true);
	return CARRY_ENTERED;
}

/*
 * An origin goes in only where its reply is: without, packets would leave by a tuple that
 * is another connection's, or nobody's. f is what has its key.
 */
static __always_inline __u32 enter_origin(bool v6, const struct flow6_key *key, struct flow *f,
					  const struct flow *from)
{
	long err;

	/* A reply is what reserves a tuple. */
	if (f && (!(f->flags & FLOW_ORIGIN) || !supersede(v6, key, f, from)))
		return CARRY_TAKEN;
	err = carry_insert(v6, key, from);
	if (err)
		return err == -EEXIST ? CARRY_TAKEN : CARRY_FULL;
	if (v6)
		remember6(key);
	else
		remember4((const struct flow4_key *)key);
	return CARRY_ENTERED;
}

/* Removes a reply whose origin didn't come. Its twin's key is another connection's. */
static __always_inline void drop_reply(bool v6, const struct flow6_key *key, struct flow *f)
{
	long gone;

	if (!flow_condemn(f, f->last_seen))
		return;
	gone = v6 ? bpf_map_delete_elem(&flows6, key) : bpf_map_delete_elem(&flows4, key);
	if (!gone)
		carry_count(v6, key, f, false);
}

static __always_inline __u32 carry_origin(bool v6, const struct flow6_key *key, struct flow *f,
					  const struct flow *from)
{
	struct flow6_key twin_key;
	struct flow *twin;
	__u32 outcome;

	carry_twin_key(v6, &twin_key, from, key);
	twin = carry_find(v6, &twin_key);
	if (!twin || twin->last_seen == FLOW_DEAD || twin->flags & FLOW_ORIGIN ||
	    !leads_to(v6, twin, &twin_key, key))
		return CARRY_TAKEN;
	/* That reply is f's: from's own would have removed both. */
	if (f && leads_to(v6, f, key, &twin_key))
		return CARRY_TAKEN;
	outcome = enter_origin(v6, key, f, from);
	if (outcome == CARRY_ENTERED)
		return outcome;
	/* A packet may have opened the connection this very moment. */
	f = carry_find(v6, key);
	if (f && leads_to(v6, f, key, &twin_key))
		return CARRY_KNOWN;
	drop_reply(v6, &twin_key, twin);
	return outcome;
}

static __always_inline __u32 carry_half(bool v6, struct carried *c)
{
	struct flow *from = &c->flow.flow, *f = carry_find(v6, &c->key);
	__u8 proto = v6 ? c->key.proto : ((struct flow4_key *)&c->key)->proto;

	if (f && leads_alike(v6, f, from)) {
		carry_news(f, from, proto);
		return CARRY_KNOWN;
	}
	return from->flags & FLOW_ORIGIN ? carry_origin(v6, &c->key, f, from) :
					   carry_reply(v6, &c->key, f, from);
}

static long carry_one(__u32 index, void *unused __attribute__((unused)))
{
	struct carried *c = bpf_map_lookup_elem(&carried, &index);

	if (!c)
		return 1;
	c->outcome = c->ipv6 ? carry_half(true, c) : carry_half(false, c);
	return 0;
}

SEC("syscall")
int carry(struct collect_request *req)
{
	__u32 count = req->count;

	if (count > CARRY_BATCH)
		count = CARRY_BATCH;
	bpf_loop(count, carry_one, NULL, 0);
	return 0;
}
