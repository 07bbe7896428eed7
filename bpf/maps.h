/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All maps. Authoritative state lives in preallocated hashes and arrays, never
 * in an LRU: a live entry is never evicted. LRU holds only what can be missed.
 * Sizes of the flow tables are set by the loader from the machine's memory.
 */
#pragma once

#include "kernel.h"
#include "types.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DEVICE_SLOTS);
	__type(key, __u32);
	__type(value, struct device);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_ENDPOINTS);
	__type(key, __u32);
	__type(value, struct endpoint);
} endpoints SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_NETWORKS);
	__type(key, __u32);
	__type(value, struct network);
} networks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_ENDPOINTS);
	__type(key, struct mac_key);
	__type(value, __u32); /* endpoint slot */
} endpoint_macs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * MAX_ENDPOINTS);
	__type(key, struct endpoint_addr_key);
	__type(value, __u32); /* endpoint slot */
} endpoint_addrs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 2 * MAX_NETWORKS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct subnet_key);
	__type(value, __u32); /* network slot */
} subnets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4 * MAX_NETWORKS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct trusted_key);
	__type(value, __u32); /* 1 */
} trusted_devices SEC(".maps");

/* The host's own addresses; the value is 1 + network slot for gateways, else 0. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4 * MAX_NETWORKS);
	__type(key, struct addr_key);
	__type(value, __u32);
} host_addrs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32); /* ifindex */
	__type(value, struct uplink);
} uplinks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PUBLISHED);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct published_key);
	__type(value, struct published);
} published_ports SEC(".maps");

/*
 * One bit per port that is published on any address: what keeps the host's own
 * traffic from paying for a lookup. Word index: protocol * 1024 + port / 64.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3 * PORT_WORDS);
	__type(key, __u32);
	__type(value, __u64);
} port_bitmap SEC(".maps");

/*
 * Services: each slot is a pool's, and holds a table that is made with the pool, of the size
 * that it needs. They are put in, and taken out, in one step.
 */
struct ring {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_INNER_MAP);
	__type(key, __u32);
	__type(value, struct ring_word);
};

struct pool_backends {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_INNER_MAP);
	__type(key, __u32);
	__type(value, struct backend); /* at 0 struct pool */
};

struct pool_affinity {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, AFFINITY_SETS);
	__uint(map_flags, BPF_F_INNER_MAP);
	__type(key, __u32);
	__type(value, struct affinity_set);
};

/*
 * One bit for each slot that may hold something, by its number / 64. Only the daemon reads it:
 * before Linux 6.8 it takes a grace period to ask for one slot's table, and there are thousands
 * of slots ("bpf: Remove unnecessary wait from bpf_map_copy_value()").
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SERVICES / 64);
	__type(key, __u32);
	__type(value, __u64);
} pool_slots SEC(".maps");

/* Of pools that remember their clients. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MAX_SERVICES);
	__type(key, __u32);
	__array(values, struct pool_affinity);
} affinities SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_SOURCES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct source_key);
	__type(value, __u32); /* 1 */
} service_sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MAX_SERVICES);
	__type(key, __u32);
	__array(values, struct ring);
} rings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MAX_SERVICES);
	__type(key, __u32);
	__array(values, struct pool_backends);
} pools SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct link_key);
	__type(value, __u32);
} icc_links SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct host_state);
} host_state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow4_key);
	__type(value, struct flow4);
} flows4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow6_key);
	__type(value, struct flow6);
} flows6 SEC(".maps");

/* Rings of the connections opened last, by their origin's key; see early_drop.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct flow4_key);
} recent4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct flow6_key);
} recent6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct pressure);
} pressures SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ALL_ENDPOINTS + 1);
	__type(key, __u32); /* endpoint slot */
	__type(value, struct flow_use);
} flow_uses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ALL_ENDPOINTS + 1);
	__type(key, __u32);
	__type(value, struct flow_correction);
} flow_corrections SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct share);
} shares SEC(".maps");

/* Source ports in use by destination, and by destination and endpoint. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PORT_USES);
	__type(key, __u32);
	__type(value, __s32);
} port_uses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NEXTHOPS);
	__type(key, __u32);
	__type(value, struct nexthop);
} nexthops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct frag_key);
	__type(value, struct frag);
} frags SEC(".maps");

/* The same for endpoints that begin many: they push out each other's only. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct frag_key);
	__type(value, struct frag);
} busy_frags SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_ENDPOINTS);
	__type(key, __u32); /* endpoint slot */
	__type(value, struct rate);
} frag_rates SEC(".maps");

/*
 * Later fragments that wait for their first one; see park.bpf.c. The rows of outside come
 * first, then those of containers, and of each side the one that the busy share last.
 */
#define PARK_ALL_ROWS (2 * (PARK_ROWS + 1))

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PARK_ALL_ROWS);
	__type(key, __u32);
	__type(value, struct parked_row);
} parked_rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PARK_ALL_ROWS * PARK_PLACES);
	__type(key, __u32); /* row * PARK_PLACES + place */
	__type(value, struct parked_frame);
} parked_frames SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PARK_ALL_ROWS * PARK_LARGE_PLACES);
	__type(key, __u32); /* row * PARK_LARGE_PLACES + place - PARK_PLACES */
	__type(value, struct parked_large);
} parked_larges SEC(".maps");

/* How many pieces a sender has parked lately. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_ENDPOINTS + STRANGERS);
	__type(key, __u32); /* the sender; see rate.h */
	__type(value, struct rate);
} park_rates SEC(".maps");

/* How many ICMP errors a sender was answered with lately, and all of outside. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_ENDPOINTS + STRANGERS + 1);
	__type(key, __u32); /* the sender, or ALL_STRANGERS; see rate.h */
	__type(value, struct rate);
} answer_rates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct spare_frame);
} spare_frames SEC(".maps");

/* Fragments that were parked. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DIR_MAX);
	__type(key, __u32); /* enum direction */
	__type(value, struct counter);
} parked_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct flow6_key); /* an IPv4 one lies in its first 16 bytes */
	__type(value, struct presented);
} presented SEC(".maps");

/*
 * What the host holds of SCTP and of protocols without ports; see held.h. Tuples are
 * those of packets to the host. The values are jiffies of the last use, 0: none.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct flow6_key); /* an IPv4 one lies in its first 16 bytes */
	__type(value, __u32);
} host_tuples SEC(".maps");

/* When it first heard what it only heard, by a hash of the tuple (heard_at). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HEARD_PLACES);
	__type(key, __u32);
	__type(value, struct heard);
} heard_tuples SEC(".maps");

/* What it sent to containers, and answered strangers: apart, because both can make it answer. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct flow6_key);
	__type(value, __u32);
} answer_tuples SEC(".maps");

/* Whole protocols, that it sends to many: family * PROTOCOLS + protocol. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * PROTOCOLS);
	__type(key, __u32);
	__type(value, __u32);
} host_protocols SEC(".maps");

/* How many sockets and devices of the host take all of a protocol, as the daemon found. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * PROTOCOLS);
	__type(key, __u32);
	__type(value, __u32);
} host_listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct socket_key);
	__type(value, struct socket_origin);
} socket_origins SEC(".maps");

/* With each socket, and gone with it: nobody's can be pushed out. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct led_socket);
} led_sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_ENDPOINTS + 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct attachment_key);
	__type(value, struct attachment);
} attachments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_ENDPOINTS);
	__type(key, __u64); /* network namespace cookie */
	__type(value, struct resolver);
} resolvers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DROP_REASON_MAX * DIR_MAX);
	__type(key, __u32); /* reason * DIR_MAX + direction */
	__type(value, struct counter);
} drops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PROG_MAX * VERDICT_MAX);
	__type(key, __u32); /* program * VERDICT_MAX + verdict */
	__type(value, struct counter);
} verdicts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_ENDPOINTS);
	__type(key, __u32); /* endpoint slot */
	__type(value, struct endpoint_counters);
} endpoint_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, COLLECT_BATCH);
	__type(key, __u32);
	__type(value, struct expired);
} expired SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CARRY_BATCH);
	__type(key, __u32);
	__type(value, struct carried);
} carried SEC(".maps");
