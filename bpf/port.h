/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Choosing the source port of a translated flow. */
#pragma once

#include "claim.h"
#include "held.h"
#include "publish.h"

#define PORT_TRIES 64

/* Whether a socket of the host would get what the remote sends to that port. */
static __always_inline bool port_is_bound(struct __sk_buff *ctx, bool v6, __u8 proto,
					  const struct flow_plan *plan, __be16 port)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size = v6 ? sizeof(tuple.ipv6) : sizeof(tuple.ipv4);
	struct bpf_sock *sk;

	if (v6) {
		addr6_copy(tuple.ipv6.saddr, plan->daddr);
		addr6_copy(tuple.ipv6.daddr, plan->saddr);
		tuple.ipv6.sport = plan->dport;
		tuple.ipv6.dport = port;
	} else {
		tuple.ipv4.saddr = plan->daddr[0];
		tuple.ipv4.daddr = plan->saddr[0];
		tuple.ipv4.sport = plan->dport;
		tuple.ipv4.dport = port;
	}
	if (proto == IPPROTO_TCP)
		sk = bpf_skc_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_udp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return false;
	bpf_sk_release(sk);
	return true;
}

static __always_inline bool port_is_free(struct __sk_buff *ctx, bool v6, const struct packet *p,
					 const struct flow_plan *plan)
{
	if (port_is_published(p->proto, plan->sport))
		return false;
	if (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP)
		return true;
	return !port_is_bound(ctx, v6, p->proto, plan, plan->sport);
}

/* Netfilter's classes: a privileged source port stays privileged. */
static __always_inline void port_range(__u8 proto, __be16 wanted, __u32 *min, __u32 *size)
{
	__u32 num = bpf_ntohs(wanted);

	if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6) {
		*min = 0;
		*size = 65536;
	} else if (num < 512) {
		*min = 1;
		*size = 511;
	} else if (num < 1024) {
		*min = 600;
		*size = 424;
	} else {
		*min = masquerade_port_min;
		*size = (__u32)masquerade_port_max - masquerade_port_min + 1;
	}
}

/* SCTP's CRC32c covers its ports, so only its addresses can be translated. */
static __always_inline bool port_is_sealed(const struct packet *p)
{
	return p->proto == IPPROTO_SCTP;
}

/* Protocols and messages whose port field is theirs alone to choose. */
static __always_inline bool port_is_fixed(const struct packet *p)
{
	return p->flags & (PKT_NO_PORTS | PKT_ECHO_REPLY) || port_is_sealed(p);
}

/* The configured range holds for the sender's own port too, if that is unprivileged. */
static __always_inline bool port_is_allowed(const struct packet *p)
{
	__u32 num = bpf_ntohs(p->sport);

	if (num < 1024 || (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP))
		return true;
	return num >= masquerade_port_min && num <= masquerade_port_max;
}

/*
 * How far from the first port the i-th one that is tried lies. The multiples of the golden
 * ratio lie evenly wherever one stops, so that a row of free ports is met which is a 25th
 * of all or longer, as somebody leaves it who has taken the others in order. Of few ports
 * each is tried.
 */
static __always_inline __u32 port_spread(__u32 i, __u32 size)
{
	const __u32 golden = 40503; /* in 65,536ths */

	return size > PORT_TRIES ? (i * golden & 0xffff) * size >> 16 : i;
}

/* Not inline, so that the verifier doesn't follow both ways at each port that is tried. */
__noinline int port_tried(__u32 i, __u32 min, __u32 size, __u32 start)
{
	return min + (start + port_spread(i, size)) % (size ? size : 1);
}

/* Whether the ports left towards the plan's destination are for other endpoints. */
static __always_inline bool port_share_is_taken(bool v6, const struct packet *p,
						struct flow_plan *plan)
{
	struct share *share = the_share();
	__u32 place, min, size;

	if (!share || port_is_fixed(p))
		return false;
	port_range(p->proto, p->sport, &min, &size);
	plan->sport = p->sport;
	if (v6) {
		struct flow6_key *key = new_key();

		if (!key)
			return false;
		flow6_reply_key(key, p, plan);
		place = port_place6(key, share->seed);
	} else {
		struct flow4_key key;

		flow4_reply_key(&key, p, plan);
		place = port_place4(&key, share->seed);
	}
	return ports_are_taken(share, place, plan->reply_endpoint, size);
}

/*
 * DROP_NONE, or that what is left is kept for other endpoints. A call of its own: what
 * follows is looked at once for all ways through it.
 */
static __always_inline enum drop_reason share_refuses(bool v6, const struct packet *p,
						      struct flow_plan *plan, bool host_source)
{
	if (share_check(v6, plan))
		return DROP_FLOW_SHARE;
	return host_source && port_share_is_taken(v6, p, plan) ? DROP_PORT_SHARE : DROP_NONE;
}

__noinline int share_refuses4(const struct packet *p, struct flow_plan *plan, bool host_source)
{
	return p && plan ? share_refuses(false, p, plan, host_source) : DROP_MALFORMED;
}

__noinline int share_refuses6(const struct packet *p, struct flow_plan *plan, bool host_source)
{
	return p && plan ? share_refuses(true, p, plan, host_source) : DROP_MALFORMED;
}

/* Claims the tuple with the plan's source port. DROP_NO_PORT: another one may be free. */
static __always_inline enum drop_reason port_try(struct __sk_buff *ctx, bool v6,
						 const struct packet *p, struct flow_plan *plan,
						 bool host_source)
{
	if (host_source && !port_is_free(ctx, v6, p, plan))
		return DROP_NO_PORT;
	return flow_claim(ctx, v6, p, plan);
}

/* Not inline, so that the verifier looks at it once and not for each port that is tried. */
__noinline int port_try4(struct __sk_buff *ctx, const struct packet *p, struct flow_plan *plan,
			 bool host_source)
{
	return p && plan ? port_try(ctx, false, p, plan, host_source) : DROP_MALFORMED;
}

__noinline int port_try6(struct __sk_buff *ctx, const struct packet *p, struct flow_plan *plan,
			 bool host_source)
{
	return p && plan ? port_try(ctx, true, p, plan, host_source) : DROP_MALFORMED;
}

/*
 * Claims the reply tuple of plan with the packet's own source port where that
 * is free, else with the first free one of those tried from a random start. Two flows to
 * different destinations may share a port. host_source says that the source
 * address will be the host's, whose own ports are not for us to take.
 */
static __always_inline enum drop_reason port_claim_any(struct __sk_buff *ctx, bool v6,
						       const struct packet *p,
						       struct flow_plan *plan, bool host_source)
{
	__u32 min, size, start = bpf_get_prandom_u32();
	int i, tries = port_is_fixed(p) ? 1 : PORT_TRIES;
	__be16 port = p->sport;

	plan->sport = port;
	if (host_source && host_holds_replies(v6, p, plan))
		return DROP_NO_PORT;
	port_range(p->proto, p->sport, &min, &size);
	if (host_source && !port_is_allowed(p))
		port = bpf_htons(min + start % size);
	for (i = 0; i < PORT_TRIES && i < tries; i++) {
		enum drop_reason reason;

		plan->sport = port;
		port = bpf_htons(port_tried(i, min, size, start));
		reason = v6 ? port_try6(ctx, p, plan, host_source) :
			      port_try4(ctx, p, plan, host_source);
		if (reason != DROP_NO_PORT)
			return reason;
	}
	return DROP_NO_PORT;
}

__noinline int port_claim4(struct __sk_buff *ctx, const struct packet *p, struct flow_plan *plan,
			   bool host_source)
{
	return p && plan ? port_claim_any(ctx, false, p, plan, host_source) : DROP_MALFORMED;
}

__noinline int port_claim6(struct __sk_buff *ctx, const struct packet *p, struct flow_plan *plan,
			   bool host_source)
{
	return p && plan ? port_claim_any(ctx, true, p, plan, host_source) : DROP_MALFORMED;
}

static __always_inline enum drop_reason port_claim(struct __sk_buff *ctx, bool v6,
						   const struct packet *p, struct flow_plan *plan,
						   bool host_source)
{
	enum drop_reason reason = v6 ? share_refuses6(p, plan, host_source) :
				       share_refuses4(p, plan, host_source);

	if (reason)
		return reason;
	return v6 ? port_claim6(ctx, p, plan, host_source) : port_claim4(ctx, p, plan, host_source);
}
