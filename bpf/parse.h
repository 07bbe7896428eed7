/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Header parsing. A parser fills a struct packet and returns DROP_NONE, or the
 * reason why the packet can't be understood. Only headers are read, and only
 * through pointers that were checked against data_end.
 */
#pragma once

#include "packet.h"

#define IP_MF 0x2000
#define IP_DF 0x4000
#define IP_OFFSET 0x1fff

#define ICMP4_ECHO_REPLY 0
#define ICMP4_DEST_UNREACH 3
#define ICMP4_ECHO 8
#define ICMP4_TIME_EXCEEDED 11
#define ICMP4_PARAM_PROBLEM 12
#define ICMP6_DEST_UNREACH 1
#define ICMP6_PARAM_PROBLEM 4
#define ICMP6_ECHO 128
#define ICMP6_ECHO_REPLY 129

/* Extension headers that a packet may carry before its transport header. */
#define IPV6_EXT_MAX 6

struct icmp_head {
	__u8 type;
	__u8 code;
	__be16 check;
	__be16 id;
	__be16 seq;
};

struct ports_head {
	__be16 sport;
	__be16 dport;
};

enum vlan {
	VLAN_NONE,
	VLAN_TAGGED,
	VLAN_UNCLEAR, /* more tags than anybody needs, or broken ones */
};

#define VLAN_ID_MASK 0xfff
#define PRIORITY_TAGS_MAX 4

__noinline int strip_tags(struct __sk_buff *ctx)
{
	int i;

	for (i = 0; i < PRIORITY_TAGS_MAX; i++) {
		if (ctx->vlan_tci & VLAN_ID_MASK)
			return VLAN_TAGGED;
		if (bpf_skb_vlan_pop(ctx))
			return VLAN_UNCLEAR;
		if (!ctx->vlan_present)
			return VLAN_NONE;
	}
	return VLAN_UNCLEAR;
}

/*
 * A tag with VLAN ID 0 carries a priority only (IEEE 802.1Q): Linux takes it off, and
 * any number of further ones behind it, and takes the packet for an untagged one. So
 * must every guard. Packet pointers are invalid after the call.
 */
static __always_inline enum vlan strip_priority_tags(struct __sk_buff *ctx)
{
	return ctx->vlan_present ? strip_tags(ctx) : VLAN_NONE;
}

/*
 * Makes the first len bytes of the frame readable in place. Frames whose
 * headers lie in page fragments are the exception; they cost a copy.
 */
static __always_inline bool pull(struct __sk_buff *ctx, __u32 len)
{
	if (data_of(ctx) + len <= data_end_of(ctx))
		return true;
	if (ctx->len < len)
		return false;
	return !bpf_skb_pull_data(ctx, len);
}

static __always_inline void parse_icmp(bool v6, struct packet *p, const struct icmp_head *icmp)
{
	p->icmp_type = icmp->type;
	if (icmp->type == (v6 ? ICMP6_ECHO : ICMP4_ECHO)) {
		p->flags |= PKT_ECHO_REQUEST;
		p->sport = icmp->id;
	} else if (icmp->type == (v6 ? ICMP6_ECHO_REPLY : ICMP4_ECHO_REPLY)) {
		p->flags |= PKT_ECHO_REPLY;
		p->dport = icmp->id;
	} else if (v6 ? icmp->type >= ICMP6_DEST_UNREACH && icmp->type <= ICMP6_PARAM_PROBLEM :
			icmp->type == ICMP4_DEST_UNREACH || icmp->type == ICMP4_TIME_EXCEEDED ||
				   icmp->type == ICMP4_PARAM_PROBLEM) {
		p->flags |= PKT_ICMP_ERROR | PKT_NO_PORTS;
	} else {
		p->flags |= PKT_NO_PORTS;
	}
}

static __always_inline enum drop_reason parse_l4(const struct frame *f, bool v6, struct packet *p)
{
	void *l4, *end = f->end;

	p->l4_off &= MAX_L4_OFF;
	l4 = f->data + p->l4_off;
	if (p->flags & PKT_LATER_FRAGMENT)
		return DROP_NONE;

	if (p->proto == IPPROTO_TCP) {
		struct tcphdr *tcp = l4;

		if ((void *)(tcp + 1) > end)
			return DROP_MALFORMED;
		p->sport = tcp->source;
		p->dport = tcp->dest;
		p->tcp_seq = bpf_ntohl(tcp->seq);
		p->tcp_ack = bpf_ntohl(tcp->ack_seq);
		p->tcp_flags = ((__u8 *)tcp)[13];
		p->l4_len = tcp->doff * 4;
	} else if (p->proto == IPPROTO_UDP || p->proto == IPPROTO_SCTP) {
		struct ports_head *ports = l4;

		if (l4 + sizeof(struct udphdr) > end)
			return DROP_MALFORMED;
		p->sport = ports->sport;
		p->dport = ports->dport;
	} else if (p->proto == icmp_proto(v6)) {
		if (l4 + sizeof(struct icmp_head) > end)
			return DROP_MALFORMED;
		parse_icmp(v6, p, l4);
	} else {
		p->flags |= PKT_NO_PORTS;
	}
	return DROP_NONE;
}

/* How many bytes of transport header parse_l4() wants to see. */
static __always_inline __u32 l4_want(bool v6, const struct packet *p)
{
	if (p->flags & PKT_LATER_FRAGMENT)
		return 0;
	if (p->proto == IPPROTO_TCP)
		return sizeof(struct tcphdr);
	if (p->proto == IPPROTO_UDP || p->proto == IPPROTO_SCTP || p->proto == icmp_proto(v6))
		return 8;
	return 0;
}

static __always_inline enum drop_reason parse_ip4(const struct frame *f, struct packet *p)
{
	struct iphdr *ip = f->data + ETH_HLEN;
	__u16 frag, header_len;
	__u8 flags = 0;

	if ((void *)(ip + 1) > f->end)
		return DROP_MALFORMED;
	/* The addresses first: to_uplink looks at the source of what is malformed, too. */
	p->saddr[0] = ip->saddr;
	p->daddr[0] = ip->daddr;
	header_len = ip->ihl * 4;
	if (ip->version != 4 || header_len < sizeof(*ip))
		return DROP_MALFORMED;
	p->proto = ip->protocol;
	p->ttl = ip->ttl;
	p->tos = ip->tos;
	p->l3_len = bpf_ntohs(ip->tot_len);
	p->l4_off = ETH_HLEN + header_len;
	/* A GSO packet may be longer than the field can say (BIG TCP). */
	if (p->l3_len > f->len - ETH_HLEN || (p->l3_len < header_len && !f->segmented))
		return DROP_MALFORMED;
	p->frag_id = ip->id;
	frag = bpf_ntohs(ip->frag_off);
	if (frag & IP_DF)
		flags |= PKT_DONT_FRAGMENT;
	if (frag & (IP_MF | IP_OFFSET))
		flags |= PKT_FRAGMENT;
	if (frag & IP_OFFSET)
		flags |= PKT_LATER_FRAGMENT;
	p->flags = flags;
	return DROP_NONE;
}

/*
 * Walks hop-by-hop options, routing, destination options and the fragment
 * header (RFC 8200, section 4). Anything else ends the walk as the transport.
 */
__noinline int parse_ip6_ext(struct __sk_buff *ctx, struct packet *p)
{
	int i;

	if (!p)
		return DROP_MALFORMED;
	for (i = 0; i < IPV6_EXT_MAX; i++) {
		__u8 head[8];

		if (p->proto != IPPROTO_HOPOPTS && p->proto != IPPROTO_ROUTING &&
		    p->proto != IPPROTO_DSTOPTS && p->proto != IPPROTO_FRAGMENT)
			return DROP_NONE;
		if (bpf_skb_load_bytes(ctx, p->l4_off & MAX_L4_OFF, head, sizeof(head)))
			return DROP_MALFORMED;
		if (p->proto == IPPROTO_FRAGMENT) {
			__u16 off = (__u16)head[2] << 8 | head[3];

			if (off & ~0x6)
				p->flags |= PKT_FRAGMENT;
			if (off & 0xfff8)
				p->flags |= PKT_LATER_FRAGMENT;
			__builtin_memcpy(&p->frag_id, head + 4, 4);
			p->frag_proto = head[0];
			p->l4_off += 8;
		} else {
			p->l4_off += ((__u16)head[1] + 1) * 8;
		}
		p->proto = head[0];
		if (p->l4_off > MAX_L4_OFF - 64)
			return DROP_UNSUPPORTED;
		if (p->flags & PKT_LATER_FRAGMENT)
			return DROP_NONE;
	}
	return DROP_UNSUPPORTED;
}

static __always_inline enum drop_reason parse_ip6(const struct frame *f, struct packet *p)
{
	struct ipv6hdr *ip = f->data + ETH_HLEN;

	if ((void *)(ip + 1) > f->end)
		return DROP_MALFORMED;
	__builtin_memcpy(p->saddr, &ip->saddr, 16);
	__builtin_memcpy(p->daddr, &ip->daddr, 16);
	if (ip->version != 6)
		return DROP_MALFORMED;
	/* Not for the wire (RFC 4038, 4.2), and IPv4's in our keys. */
	if (addr6_is_mapped(p->saddr) || addr6_is_mapped(p->daddr))
		return DROP_MARTIAN;
	p->proto = ip->nexthdr;
	p->ttl = ip->hop_limit;
	p->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	p->l3_len = ip->payload_len ? bpf_ntohs(ip->payload_len) + sizeof(*ip) : 0;
	p->l4_off = ETH_HLEN + sizeof(*ip);
	p->flags = PKT_DONT_FRAGMENT;
	if (p->l3_len > f->len - ETH_HLEN)
		return DROP_MALFORMED;
	return DROP_NONE;
}

static __always_inline bool has_ip6_ext(const struct packet *p)
{
	return p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP && p->proto != IPPROTO_ICMPV6;
}

/* Fills p, which the caller has zeroed, from the frame's IP header. */
static __always_inline enum drop_reason parse_l3(struct __sk_buff *ctx, bool v6, struct packet *p)
{
	struct frame f;

	if (!pull(ctx, ETH_HLEN + (v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr))))
		return DROP_MALFORMED;
	f = frame_of(ctx);
	return v6 ? parse_ip6(&f, p) : parse_ip4(&f, p);
}

/* Then from the transport's. */
static __always_inline enum drop_reason parse_transport(struct __sk_buff *ctx, bool v6,
							struct packet *p)
{
	struct frame f;

	if (!pull(ctx, (p->l4_off & MAX_L4_OFF) + l4_want(v6, p)))
		return DROP_MALFORMED;
	f = frame_of(ctx);
	return parse_l4(&f, v6, p);
}

/*
 * Whether a transport header that is wanted isn't in the packet, but in what Ethernet pads
 * it with. Of fragments others would take the real one from another piece.
 */
static __always_inline bool l4_is_padding(const struct __sk_buff *ctx, bool v6,
					  const struct packet *p)
{
	return p->l3_len && !ctx->gso_size && p->l4_off + l4_want(v6, p) > ETH_HLEN + p->l3_len;
}

/* What parse_l3() leaves, with extension headers in between. */
static __always_inline enum drop_reason parse_rest(struct __sk_buff *ctx, bool v6, struct packet *p)
{
	enum drop_reason reason = DROP_NONE;

	if (v6 && has_ip6_ext(p))
		reason = parse_ip6_ext(ctx, p);
	if (!reason && l4_is_padding(ctx, v6, p))
		reason = DROP_MALFORMED;
	return reason ? reason : parse_transport(ctx, v6, p);
}

static __always_inline enum drop_reason parse_ip(struct __sk_buff *ctx, bool v6, struct packet *p)
{
	enum drop_reason reason = parse_l3(ctx, v6, p);

	return reason ? reason : parse_rest(ctx, v6, p);
}

/*
 * Whether the transport's header follows the IP header, of a packet in one piece. What isn't
 * plain is for programs of its own (calls.h).
 */
static __always_inline bool is_plain(bool v6, const struct packet *p)
{
	return v6 ? !has_ip6_ext(p) : !(p->flags & PKT_FRAGMENT);
}
