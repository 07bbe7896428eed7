// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Brings connections over from tables with another layout, run by the control plane. It
 * has converted the entries, half a connection each, and may hand in the same one again
 * later: while older programs work with the older tables their entries change, and when
 * these programs work beside them already, what has come in here meanwhile counts too.
 *
 * An entry is inserted with NOEXIST, as a packet would, and counted as if a packet had
 * opened it. If there is one for the same connection, it gains what the other one knows
 * more; if there is another connection's, the one that was seen last stays.
 */
#include "early_drop.h"
#include "track.h"

static __always_inline bool is_later(__u32 a, __u32 b)
{
	return (__s32)(a - b) > 0;
}

/* Whether both are the same connection's: what routes decide may differ. */
static __always_inline bool leads_alike(const struct flow *a, const struct flow *b)
{
	return a->sport == b->sport && a->dport == b->dport && a->endpoint == b->endpoint &&
	       a->endpoint_generation == b->endpoint_generation && a->flags == b->flags;
}

/* What TCP's numbers say, and when anything else began. */
static __always_inline void carry_numbers(struct flow *f, struct flow *from, __u8 proto)
{
	if (proto != IPPROTO_TCP) {
		if (!(f->state & FLOW_SEEN))
			*flow_begun(f) = *flow_begun(from);
		return;
	}
	if (f->state & (FLOW_SYN | FLOW_ACK) && !is_later(from->tcp_end, f->tcp_end))
		return;
	f->tcp_ack = from->tcp_ack;
	f->tcp_end = from->tcp_end;
}

/* Packets may be changing f. */
static __always_inline void carry_news(struct flow *f, struct flow *from, __u8 proto)
{
	__u32 seen = f->last_seen;

	if (from->state & FLOW_SEEN)
		carry_numbers(f, from, proto);
	if (from->state & ~f->state)
		__sync_fetch_and_or(&f->state, from->state);
	if (seen != FLOW_DEAD && is_later(from->last_seen, seen))
		__sync_val_compare_and_swap(&f->last_seen, seen, from->last_seen);
}

static __always_inline __u32 carry4(struct carried *c)
{
	struct flow4 *from = (struct flow4 *)&c->flow, *f;
	struct flow4_key key;
	__u32 seen;

	__builtin_memcpy(&key, &c->key, sizeof(key));
	f = bpf_map_lookup_elem(&flows4, &key);
	if (f && leads_alike(&f->flow, &from->flow) && f->saddr == from->saddr &&
	    f->daddr == from->daddr) {
		carry_news(&f->flow, &from->flow, key.proto);
		return CARRY_KNOWN;
	}
	if (f) {
		seen = f->flow.last_seen;
		if (!is_later(from->flow.last_seen, seen) || !flow_condemn(&f->flow, seen))
			return CARRY_TAKEN;
		flow4_remove(&key, f);
	}
	if (bpf_map_update_elem(&flows4, &key, from, BPF_NOEXIST))
		return CARRY_FULL;
	if (from->flow.flags & FLOW_ORIGIN)
		remember4(&key);
	else
		count_reply4(&key, flow_kind_of(&from->flow), from->flow.endpoint, true);
	return CARRY_ENTERED;
}

static __always_inline __u32 carry6(struct carried *c)
{
	struct flow6 *from = &c->flow, *f;
	struct flow6_key key = c->key;
	__u32 seen;

	f = bpf_map_lookup_elem(&flows6, &key);
	if (f && leads_alike(&f->flow, &from->flow) && addr6_equal(f->saddr, from->saddr) &&
	    addr6_equal(f->daddr, from->daddr)) {
		carry_news(&f->flow, &from->flow, key.proto);
		return CARRY_KNOWN;
	}
	if (f) {
		seen = f->flow.last_seen;
		if (!is_later(from->flow.last_seen, seen) || !flow_condemn(&f->flow, seen))
			return CARRY_TAKEN;
		flow6_remove(&key, f);
	}
	if (bpf_map_update_elem(&flows6, &key, from, BPF_NOEXIST))
		return CARRY_FULL;
	if (from->flow.flags & FLOW_ORIGIN)
		remember6(&key);
	else
		count_reply6(&key, flow_kind_of(&from->flow), from->flow.endpoint, true);
	return CARRY_ENTERED;
}

static long carry_one(__u32 index, void *unused __attribute__((unused)))
{
	struct carried *c = bpf_map_lookup_elem(&carried, &index);

	if (!c)
		return 1;
	c->outcome = c->ipv6 ? carry6(c) : carry4(c);
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
