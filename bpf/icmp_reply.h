/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP errors that the datapath itself sends, as the router that it is: time
 * exceeded and packet too big (RFC 792, RFC 1191, RFC 4443). The offending
 * packet becomes the error's payload, so its own bytes are quoted, untranslated.
 */
#pragma once

#include "calls.h"
#include "csum.h"
#include "endpoint.h"
#include "parse.h"
#include "rate.h"

#define ICMP_REPLY_TTL 64

/*
 * Answers within a second, as the kernel bounds its own (icmp_msgs_per_sec), so that a flood isn't
 * doubled, nor led to whoever it names as its sender. Each container has its own number.
 */
#define ANSWERS_EACH 250
#define ANSWERS_OUTSIDE 1000

struct icmp4_error {
	struct iphdr ip;
	struct icmp_head icmp;
};

struct icmp6_error {
	struct ipv6hdr ip;
	struct icmp_head icmp;
};

_Static_assert(sizeof(struct icmp6_error) <= ICMP_ERROR_MAX, "icmp6_error");

/* Zeroed room for the headers of an error. */
static __always_inline void *new_icmp_error(void)
{
	struct scratch *s = scratch();

	if (!s)
		return NULL;
	__builtin_memset(s->icmp_error, 0, sizeof(s->icmp_error));
	return s->icmp_error;
}

struct icmp_reply {
	__be32 saddr[4]; /* who speaks: the gateway, or the address that was asked */
	__u8 type;
	__u8 code;
	__be16 mtu;  /* ICMPv4: low half of the second word */
	__be32 mtu6; /* ICMPv6: the whole of it */
};

static __always_inline __u32 quote_sum(struct __sk_buff *ctx, __u32 len)
{
	struct scratch *s = scratch();

	if (!s)
		return 0;
	/*
	 * Linux 6.1 learns the bounds of the register that is compared and of no
	 * other, so the compiler must neither merge the comparisons nor use what
	 * it knows already.
	 */
	asm volatile("" : "+r"(len));
	if (len > ICMP_QUOTE_MAX)
		return 0;
	asm volatile("" : "+r"(len));
	if (len < sizeof(struct iphdr))
		return 0;
	__builtin_memset(s->quote, 0, sizeof(s->quote));
	if (bpf_skb_load_bytes(ctx, ETH_HLEN, s->quote, len))
		return 0;
	return bpf_csum_diff(NULL, 0, (__be32 *)s->quote, sizeof(s->quote), 0);
}

static __always_inline void build_icmp4(struct icmp4_error *e, const struct packet *p,
					const struct icmp_reply *r, __u32 quote_len, __u32 sum)
{
	e->ip.version = 4;
	e->ip.ihl = 5;
	e->ip.tot_len = bpf_htons(sizeof(*e) + quote_len);
	e->ip.ttl = ICMP_REPLY_TTL;
	e->ip.protocol = IPPROTO_ICMP;
	e->ip.saddr = r->saddr[0];
	e->ip.daddr = p->saddr[0];
	e->ip.check = csum_fold(bpf_csum_diff(NULL, 0, (__be32 *)&e->ip, sizeof(e->ip), 0));
	e->icmp.type = r->type;
	e->icmp.code = r->code;
	e->icmp.seq = r->mtu;
	e->icmp.check = csum_fold(bpf_csum_diff(NULL, 0, (__be32 *)&e->icmp, sizeof(e->icmp), sum));
}

static __always_inline void build_icmp6(struct icmp6_error *e, const struct packet *p,
					const struct icmp_reply *r, __u32 quote_len, __u32 sum)
{
	__be32 pseudo[2];

	e->ip.version = 6;
	e->ip.payload_len = bpf_htons(sizeof(e->icmp) + quote_len);
	e->ip.nexthdr = IPPROTO_ICMPV6;
	e->ip.hop_limit = ICMP_REPLY_TTL;
	__builtin_memcpy(&e->ip.saddr, r->saddr, 16);
	__builtin_memcpy(&e->ip.daddr, p->saddr, 16);
	e->icmp.type = r->type;
	e->icmp.code = r->code;
	__builtin_memcpy(&e->icmp.id, &r->mtu6, 4);
	/* Pseudo-header: addresses, upper-layer length, next header (RFC 8200, 8.1). */
	pseudo[0] = bpf_htonl(sizeof(e->icmp) + quote_len);
	pseudo[1] = bpf_htonl(IPPROTO_ICMPV6);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&e->ip.saddr, 32, sum);
	sum = bpf_csum_diff(NULL, 0, pseudo, sizeof(pseudo), sum);
	e->icmp.check = csum_fold(bpf_csum_diff(NULL, 0, (__be32 *)&e->icmp, sizeof(e->icmp), sum));
}

static __always_inline int store_icmp4(struct __sk_buff *ctx, const struct packet *p,
				       const struct icmp_reply *r, __u32 quote_len, __u32 sum)
{
	struct icmp4_error *e = new_icmp_error();

	if (!e)
		return -1;
	build_icmp4(e, p, r, quote_len, sum);
	return bpf_skb_store_bytes(ctx, ETH_HLEN, e, sizeof(*e), 0);
}

static __always_inline int store_icmp6(struct __sk_buff *ctx, const struct packet *p,
				       const struct icmp_reply *r, __u32 quote_len, __u32 sum)
{
	struct icmp6_error *e = new_icmp_error();

	if (!e)
		return -1;
	build_icmp6(e, p, r, quote_len, sum);
	return bpf_skb_store_bytes(ctx, ETH_HLEN, e, sizeof(*e), 0);
}

static __always_inline int swap_macs(struct __sk_buff *ctx)
{
	__u8 macs[12], swapped[12];

	if (bpf_skb_load_bytes(ctx, 0, macs, sizeof(macs)))
		return -1;
	__builtin_memcpy(swapped, macs + 6, 6);
	__builtin_memcpy(swapped + 6, macs, 6);
	return bpf_skb_store_bytes(ctx, 0, swapped, sizeof(swapped), 0);
}

/* Replaces the packet by the error, headers and all. */
static __always_inline int make_error(struct __sk_buff *ctx, bool v6, const struct packet *p,
				      const struct icmp_reply *r)
{
	__u32 head = v6 ? sizeof(struct icmp6_error) : sizeof(struct icmp4_error);
	__u32 len = ctx->len - ETH_HLEN, sum;

	/* Not the padding of a short Ethernet frame. */
	if (p->l3_len && p->l3_len < len)
		len = p->l3_len;
	if (len > ICMP_QUOTE_MAX)
		len = ICMP_QUOTE_MAX;
	sum = quote_sum(ctx, len);
	if (bpf_skb_change_tail(ctx, ETH_HLEN + len, 0))
		return -1;
	if (bpf_skb_adjust_room(ctx, head, BPF_ADJ_ROOM_MAC, 0))
		return -1;
	if (v6 ? store_icmp6(ctx, p, r, len, sum) : store_icmp4(ctx, p, r, len, sum))
		return -1;
	return swap_macs(ctx);
}

/* RFC 1122, 3.2.2: no error about errors, later fragments, or what was sent to many. */
static __always_inline bool may_answer(bool v6, const struct packet *p)
{
	if (p->flags & (PKT_ICMP_ERROR | PKT_LATER_FRAGMENT))
		return false;
	return !addr_is_multicast(v6, p->saddr) && !addr_is_multicast(v6, p->daddr) &&
	       !addr_is_zero(v6, p->saddr) && !addr_is_loopback(v6, p->saddr);
}

/* The address that was asked, if it is the host's; a container's own isn't to be seen. */
static __always_inline void uplink_speaker(bool v6, __u32 ifindex, const struct packet *p,
					   __be32 *addr)
{
	struct uplink *up;

	addr_copy(v6, addr, p->daddr);
	if (host_addr(v6, p->daddr))
		return;
	up = bpf_map_lookup_elem(&uplinks, &ifindex);
	if (!up)
		return;
	if (v6)
		addr6_load(addr, up->v6[0].addr);
	else
		addr[0] = up->v4[0].addr;
}

/*
 * Sends the error to where the packet came from: into the container, whose
 * gateway then is the speaker, or back out of the uplink, where the address
 * that was asked speaks.
 */
static __always_inline int send_error(struct __sk_buff *ctx, bool v6, const struct packet *p,
				      struct icmp_reply *r)
{
	__u32 slot = 0, ifindex = ctx->ifindex;
	struct endpoint *ep = endpoint_of_device(ifindex, &slot);

	if (!ep)
		uplink_speaker(v6, ifindex, p, r->saddr);
	if (ep) {
		struct network *net = network_at(ep->network);

		if (!net)
			return dropped(DROP_ENDPOINT_GONE);
		gateway_of(v6, net, r->saddr);
	}
	if (make_error(ctx, v6, p, r))
		return dropped(DROP_REWRITE_FAILED);
	if (!ep)
		return bpf_redirect(ifindex, 0);
	count_receive(ctx, slot);
	bpf_skb_change_type(ctx, PACKET_HOST);
	return bpf_redirect_peer(ifindex, 0);
}

static __always_inline bool is_answered_often(__u32 sender, __u32 burst)
{
	return is_many(bpf_map_lookup_elem(&answer_rates, &sender), burst);
}

/*
 * Whether the sender has had enough answers for now. A path's MTU is told always, as the kernel
 * does: who isn't told sends into the void for as long.
 */
static __always_inline bool is_answered_enough(bool v6, __u32 ifindex, const struct packet *p,
					       const struct answer *a)
{
	__u32 slot = 0;

	if (a->mtu)
		return false;
	if (endpoint_of_device(ifindex, &slot))
		return is_answered_often(slot, ANSWERS_EACH);
	return is_answered_often(stranger(v6, p), ANSWERS_EACH) ||
	       is_answered_often(ALL_STRANGERS, ANSWERS_OUTSIDE);
}

/* Answers the packet as the scratch says. */
static __always_inline int answer(struct __sk_buff *ctx, bool v6)
{
	struct scratch *s = scratch();
	struct icmp_reply r = {};
	struct counter *c;

	if (!s)
		return TC_ACT_SHOT;
	if (!may_answer(v6, &s->packet))
		return dropped(DROP_MALFORMED);
	if (is_answered_enough(v6, ctx->ifindex, &s->packet, &s->answer))
		return dropped(DROP_ANSWER_RATE);
	if (s->answer.why) {
		c = drop_counter(s->answer.why, direction_of(s->program));
		if (c)
			count(c, ctx);
	}
	r.type = s->answer.type;
	r.code = s->answer.code;
	r.mtu = bpf_htons(s->answer.mtu);
	r.mtu6 = bpf_htonl(s->answer.mtu);
	return send_error(ctx, v6, &s->packet, &r);
}

/* Goes on with the answer to a packet that came in where the program is. */
static __always_inline int go_on_answering(struct __sk_buff *ctx, enum program program, bool v6,
					   struct answer a)
{
	struct scratch *s = scratch();

	if (s)
		s->answer = a;
	return go_on_as(ctx, program, v6, CALL_ANSWER);
}

static __always_inline int reply_time_exceeded(struct __sk_buff *ctx, enum program program, bool v6)
{
	return go_on_answering(ctx, program, v6, (struct answer){ .type = v6 ? 3 : 11 });
}

static __always_inline int reply_too_big(struct __sk_buff *ctx, enum program program, bool v6,
					 __u16 mtu)
{
	const struct answer too_big4 = { .type = 3, .code = 4, .mtu = mtu };
	const struct answer too_big6 = { .type = 2, .mtu = mtu };

	return go_on_answering(ctx, program, v6, v6 ? too_big6 : too_big4);
}

/*
 * Refuses a packet to a service that has no backend for its sender. Whom it isn't for hears
 * nothing. The middle of nothing is the stack's, which resets it; what begins is told that
 * nobody listens, as netfilter's REJECT says it. Clients of TCP, too, take that for a refused
 * connection.
 */
static __always_inline int reply_no_backend(struct __sk_buff *ctx, enum program program, bool v6,
					    const struct packet *p, enum drop_reason why)
{
	if (why == DROP_SERVICE_SOURCE)
		return dropped(DROP_SERVICE_SOURCE);
	if (p->proto == IPPROTO_TCP && !(p->tcp_flags & TCP_SYN))
		return NEXT;
	if (p->proto == IPPROTO_SCTP)
		return dropped(DROP_NO_BACKEND);
	return go_on_answering(
		ctx, program, v6,
		(struct answer){ .type = v6 ? 1 : 3, .code = v6 ? 4 : 3, .why = DROP_NO_BACKEND });
}
