/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Neighbour discovery as a container may speak it (RFC 4861). It passes where nothing
 * else of a container's does, with icc=false, so it must not be a bag for anything else.
 */
#pragma once

#include "endpoint.h"
#include "parse.h"

#define ND_ROUTER_ADVERT 134
#define ND_NEIGHBOUR_SOLICIT 135
#define ND_NEIGHBOUR_ADVERT 136
#define ND_REDIRECT 137
#define ND_FIRST 133
#define ND_LAST 137

#define ND_OPT_SOURCE_MAC 1
#define ND_OPT_TARGET_MAC 2
#define ND_OPT_NONCE 14 /* RFC 3971, RFC 7527 */

/* A MAC and a nonce; more is nothing that a host sends. */
#define ND_OPTIONS_MAX 2

/* Routers don't forward what has it, so it shows that the sender is on link. */
#define ND_HOP_LIMIT 255

/* The head of an option; these three are no longer than this. */
struct nd_option {
	__u8 type;
	__u8 len; /* of 8 bytes */
	__u8 mac[ETH_ALEN];
};

static __always_inline bool is_nd(const struct packet *p)
{
	return p->proto == IPPROTO_ICMPV6 && p->icmp_type >= ND_FIRST && p->icmp_type <= ND_LAST;
}

/* What comes before the options. */
static __always_inline __u32 nd_head_len(const struct packet *p)
{
	return p->icmp_type == ND_NEIGHBOUR_SOLICIT || p->icmp_type == ND_NEIGHBOUR_ADVERT ? 24 : 8;
}

/* Whether an option is one that a host sends, and speaks for nobody but the endpoint. */
static __always_inline bool nd_option_fits(const struct nd_option *o, const struct packet *p,
					   const struct endpoint *ep, bool bare)
{
	if (!o->len)
		return false;
	if (o->type == ND_OPT_SOURCE_MAC || o->type == ND_OPT_TARGET_MAC)
		return o->len == 1 && mac_equal(o->mac, ep->mac) &&
		       !(o->type == ND_OPT_SOURCE_MAC && addr_is_zero(true, p->saddr));
	return !bare || (o->type == ND_OPT_NONCE && o->len == 1);
}

/*
 * Whether the options are in order; bare admits those only that no host can do without.
 * Else what follows the first ones isn't looked at: it is the receiver's to judge.
 */
static __always_inline bool nd_options_fit(struct __sk_buff *ctx, const struct packet *p,
					   const struct endpoint *ep, __u32 off, __u32 end,
					   bool bare)
{
	int i;

#pragma clang loop unroll(full)
	for (i = 0; i < ND_OPTIONS_MAX; i++) {
		struct nd_option o;

		if (off == end)
			return true;
		if (off + sizeof(o) > end || bpf_skb_load_bytes(ctx, off, &o, sizeof(o)))
			return false;
		if (!nd_option_fits(&o, p, ep, bare))
			return false;
		off += (__u32)o.len * 8;
	}
	return !bare || off == end;
}

/* Nothing before the message but the IP header, nothing behind it. */
static __always_inline bool nd_is_bare(const struct __sk_buff *ctx, const struct packet *p)
{
	return p->l4_off == ETH_HLEN + sizeof(struct ipv6hdr) && ctx->len == ETH_HLEN + p->l3_len;
}

/*
 * Whether a message is as RFC 4861 wants it (6.1.1, 7.1), and in one piece (RFC 6980).
 * bare refuses all that could carry something else.
 */
__noinline int nd_is_valid(struct __sk_buff *ctx, const struct packet *p, const struct endpoint *ep,
			   __u32 bare)
{
	__u32 off, end;
	__u8 code, target;

	if (!p || !ep || p->ttl != ND_HOP_LIMIT || p->flags & PKT_FRAGMENT)
		return false;
	off = p->l4_off & MAX_L4_OFF;
	end = ETH_HLEN + p->l3_len;
	if (off + nd_head_len(p) > end || (bare && !nd_is_bare(ctx, p)))
		return false;
	if (bpf_skb_load_bytes(ctx, off + 1, &code, 1) || code)
		return false;
	if (nd_head_len(p) == 24 &&
	    (bpf_skb_load_bytes(ctx, off + 8, &target, 1) || target == 0xff))
		return false;
	return nd_options_fit(ctx, p, ep, off + nd_head_len(p), end, bare);
}
