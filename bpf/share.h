/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Shares: a part of each flow table, and of the source ports towards each destination,
 * is kept for endpoints that have little. Who has more than its even part of that
 * (share.sure) opens another connection only while what is left is enough for all
 * others' parts. So one busy container has nearly everything, and leaves each other one
 * as much as it is sure of.
 *
 * The endpoint that answers for a flow is that of its reply entry: the container that
 * began it, else the one that it leads to. Whoever inserts or deletes a reply entry
 * counts, so the counts are right on all CPUs and without the daemon. Packets of
 * connections that are open pay nothing.
 */
#pragma once

#include "endpoint.h"
#include "maps.h"

static __always_inline struct share *the_share(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&shares, &zero);
}

/* Connections of an endpoint, or of all. Below zero where older programs opened some. */
static __always_inline __s32 flows_open(bool v6, __u32 slot)
{
	struct flow_use *use = bpf_map_lookup_elem(&flow_uses, &slot);
	struct flow_correction *more = bpf_map_lookup_elem(&flow_corrections, &slot);

	return use && more ? (__s32)(use->opened[v6] - use->ended[v6]) + more->open[v6] : 0;
}

static __always_inline void count_flow_of(bool v6, __u32 slot, bool opened)
{
	struct flow_use *use = bpf_map_lookup_elem(&flow_uses, &slot);

	if (use)
		__sync_fetch_and_add(opened ? &use->opened[v6] : &use->ended[v6], 1);
}

static __always_inline void count_flow(bool v6, __u32 slot, bool opened)
{
	count_flow_of(v6, slot, opened);
	count_flow_of(v6, ALL_ENDPOINTS, opened);
}

/* Whether the endpoint has no more than it is sure of, which nobody may take from it. */
static __always_inline bool flows_are_sure(bool v6, __u32 slot)
{
	struct share *share = the_share();

	return share && share->sure[v6] && flows_open(v6, slot) <= (__s32)share->sure[v6];
}

/* Whether the endpoint has its share and the room that is left is for the others. */
static __always_inline bool flow_share_is_taken(bool v6, __u32 slot)
{
	struct share *share = the_share();

	return share && share->sure[v6] &&
	       flows_open(v6, ALL_ENDPOINTS) >= (__s32)share->common[v6] &&
	       flows_open(v6, slot) >= (__s32)share->sure[v6];
}

/* Whether flows of the kind have an address of the host as their source, whose ports they take. */
static __always_inline bool kind_takes_ports(__u8 kind)
{
	return kind == FLOW_MASQUERADE || kind == FLOW_HAIRPIN || kind == FLOW_RELAY;
}

/*
 * How many flows have ports towards a destination stands in a table of counts that is
 * found by a hash: exact for each but for destinations that fall together, and those
 * matter only where both have nearly all ports in use. The seed is the host's secret.
 */
static __always_inline __u32 mix(__u32 hash, __u32 word)
{
	hash = (hash ^ word) * 0x9e3779b1;
	return hash ^ hash >> 15;
}

/* Classes of ports that aren't taken for each other; see port_range(). */
static __always_inline __u32 port_class(__u8 proto, __be16 port)
{
	__u32 num = bpf_ntohs(port);

	if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6)
		return 0;
	return num < 512 ? 1 : num < 1024 ? 2 : 3;
}

static __always_inline __u32 port_place(__u32 hash, __u8 proto, __be16 remote, __be16 local)
{
	return mix(mix(hash, remote), proto << 8 | port_class(proto, local));
}

/* Where the replies' key is counted, before it is cut to the table's size. */
static __always_inline __u32 port_place4(const struct flow4_key *reply, __u32 seed)
{
	return port_place(mix(mix(seed, reply->saddr), reply->daddr), reply->proto, reply->sport,
			  reply->dport);
}

static __always_inline __u32 port_place6(const struct flow6_key *reply, __u32 seed)
{
	__u32 hash = seed;
	int i;

#pragma clang loop unroll(full)
	for (i = 0; i < 4; i++)
		hash = mix(mix(hash, reply->saddr[i]), reply->daddr[i]);
	return port_place(hash, reply->proto, reply->sport, reply->dport);
}

static __always_inline __s32 *ports_at(__u32 place)
{
	place &= PORT_USES - 1;
	return bpf_map_lookup_elem(&port_uses, &place);
}

/* The same for one endpoint. */
static __always_inline __s32 *ports_of(__u32 place, __u32 slot)
{
	return ports_at(mix(place, slot + 1));
}

static __always_inline void count_port_at(__s32 *count, bool opened)
{
	if (!count)
		return;
	if (opened)
		__sync_fetch_and_add(count, 1);
	else if (*count > 0) /* older programs opened flows that aren't counted */
		__sync_fetch_and_sub(count, 1);
}

static __always_inline void count_port(__u32 place, __u32 slot, bool opened)
{
	count_port_at(ports_at(place), opened);
	count_port_at(ports_of(place, slot), opened);
}

static __always_inline void count_reply4(const struct flow4_key *reply, __u8 kind, __u32 slot,
					 bool opened)
{
	struct share *share = the_share();

	count_flow(false, slot, opened);
	if (share && kind_takes_ports(kind))
		count_port(port_place4(reply, share->seed), slot, opened);
}

static __always_inline void count_reply6(const struct flow6_key *reply, __u8 kind, __u32 slot,
					 bool opened)
{
	struct share *share = the_share();

	count_flow(true, slot, opened);
	if (share && kind_takes_ports(kind))
		count_port(port_place6(reply, share->seed), slot, opened);
}

/*
 * Whether the endpoint has its share of the size ports that there are towards the
 * destination, and what is left is for the others.
 */
static __always_inline bool ports_are_taken(const struct share *share, __u32 place, __u32 slot,
					    __u32 size)
{
	__s32 *all = ports_at(place), *own = ports_of(place, slot);
	__u32 sure = (__u64)size * share->sure_ports >> 16;

	if (!sure || !all || !own)
		return false;
	return *own >= (__s32)sure && *all >= (__s32)(size - share->others * sure);
}

/* A connection of the endpoint's was refused for want of room, or of a port. */
static __always_inline void count_refused(__u32 slot, enum drop_reason reason)
{
	struct endpoint_counters *c = bpf_map_lookup_elem(&endpoint_stats, &slot);

	if (!c)
		return;
	if (reason == DROP_FLOW_TABLE_FULL || reason == DROP_FLOW_SHARE)
		c->flows_refused++;
	if (reason == DROP_NO_PORT || reason == DROP_PORT_SHARE)
		c->ports_refused++;
}
