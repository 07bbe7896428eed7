/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Room for what the parser finds and the slow path builds: a chain of calls has 512 bytes of stack
 * in all. One per CPU is enough, since every program here runs with bottom
 * halves disabled and nothing is kept from one packet to the next.
 */
#pragma once

#include "kernel.h"
#include "packet.h"
#include "types.h"

/* A connection to open: what becomes of the origin's packets, and who is who. */
struct flow_plan {
	__be32 saddr[4]; /* after translation */
	__be32 daddr[4];
	__be32 nexthop[4]; /* of whichever direction is FLOW_FORWARD; IPv4: first word only */
	__be16 sport;
	__be16 dport;
	__u32 oif;
	__u32 hop; /* as flow.nexthop */
	__u16 mtu;
	__u16 zone; /* of the origin's packets, and of the replies */
	__u16 twin_zone;
	__u16 origin_endpoint;
	__u16 origin_generation;
	__u16 reply_endpoint;
	__u16 reply_generation;
	__u8 origin_action;
	__u8 reply_action;
	__u8 kind;
	__u8 pad[3];
	__u32 backend; /* name of the one whose answers count, or 0; see passive.h */
};

/* Where a packet from outside is led. */
struct inside {
	__be32 daddr[4];
	__u32 network; /* whose address it has itself, or MAX_NETWORKS; to_uplink: whose source */
	__u32 slot;
	__u32 backend; /* as of flow_plan */
	__be16 dport;
	__u8 kind;
	__u8 pad;
};

/* The packet that an ICMP error quotes; see icmp.h. */
struct quote {
	struct packet reversed; /* as a packet of the error's direction */
	__u32 l3_off;           /* of the quoted header, from the start of the frame */
	__u32 l4_off;
	__u32 end; /* of the IP packet; what follows is padding */
};

/* The ICMP error that answers a packet; see icmp_reply.h. */
struct answer {
	__u8 type;
	__u8 code;
	__u16 mtu;
	__u32 why; /* enum drop_reason: the packet counts as dropped; DROP_NONE: it doesn't */
};

/* A fragment that waits, or for which others do; see park.bpf.c. */
struct parking {
	int outcome;         /* what becomes of the packet otherwise */
	__u32 awaited;       /* the datagram's other pieces may be parked */
	__u32 mark;          /* what their places have */
	__u32 spared;        /* length of the frame that is in spare_frames, or 0 */
	struct frag_key key; /* of the datagram */
};

#define ICMP_QUOTE_MAX 88 /* multiple of 4, covers IPv6 and 48 bytes more */

#define ICMP_ERROR_MAX 48 /* an IP header and an ICMP header */

struct scratch {
	__u64 fib[8];  /* struct bpf_fib_lookup */
	__u32 program; /* enum program; see calls.h */
	__u32 left;    /* name of a backend, if packet.again */
	struct answer answer;
	struct packet packet;
	struct inside inside;
	struct quote quoted;
	__u8 icmp_error[ICMP_ERROR_MAX];
	__u8 quote[ICMP_QUOTE_MAX];
	struct flow_plan plan;
	struct flow6 flow; /* an IPv4 flow fits into it */
	struct flow6_key key;
	struct parking parking;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline struct scratch *scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratches, &zero);
}

/* An empty packet to parse into. */
static __always_inline struct packet *new_packet(void)
{
	struct scratch *s = scratch();

	if (!s)
		return NULL;
	__builtin_memset(&s->packet, 0, sizeof(s->packet));
	return &s->packet;
}

/* The packet as a program before this one has parsed it; NULL never. */
static __always_inline struct packet *the_packet(void)
{
	struct scratch *s = scratch();

	return s ? &s->packet : NULL;
}

static __always_inline struct inside *new_inside(void)
{
	struct scratch *s = scratch();

	if (!s)
		return NULL;
	__builtin_memset(&s->inside, 0, sizeof(s->inside));
	return &s->inside;
}

static __always_inline struct quote *new_quote(void)
{
	struct scratch *s = scratch();

	if (!s)
		return NULL;
	__builtin_memset(&s->quoted, 0, sizeof(s->quoted));
	return &s->quoted;
}

/* As the program before this one left it. */
static __always_inline struct inside *the_inside(void)
{
	struct scratch *s = scratch();

	return s ? &s->inside : NULL;
}

/* An empty plan; NULL never, but the verifier wants it checked. */
static __always_inline struct flow_plan *new_plan(void)
{
	struct scratch *s = scratch();

	if (!s)
		return NULL;
	__builtin_memset(&s->plan, 0, sizeof(s->plan));
	return &s->plan;
}

/* The plan as the program before this one made it. */
static __always_inline struct flow_plan *the_plan(void)
{
	struct scratch *s = scratch();

	return s ? &s->plan : NULL;
}

static __always_inline struct flow6 *new_flow(void)
{
	struct scratch *s = scratch();

	if (!s)
		return NULL;
	__builtin_memset(&s->flow, 0, sizeof(s->flow));
	return &s->flow;
}

/* For a key that will be written whole. */
static __always_inline struct flow6_key *new_key(void)
{
	struct scratch *s = scratch();

	return s ? &s->key : NULL;
}
