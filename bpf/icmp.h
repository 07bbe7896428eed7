/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP errors about translated flows (RFC 5508, section 4).
 *
 * An error quotes a packet of the other direction as it was on the quoting
 * side. The quoted tuple reversed is the key of the entry that translates the
 * error, and that entry's translation reversed is what the quoted packet must
 * become. The flow itself is neither touched nor ended by an error.
 */
#pragma once

#include "forward.h"

/* Fewer than a packet may carry: each costs the verifier of Linux 6.1 much. */
#define QUOTED_EXT_MAX 3

/*
 * The quoted packet's extension headers, as parse_ip6_ext() has them. Of a packet that
 * was cut in pieces only the first one names ports. Unrolled, because the compiler makes
 * a loop of it that Linux 6.1 refuses ("back-edge"), and not inline, because 6.1 would look
 * at all that follows once for each way through it.
 */
__noinline int skip_quoted_ext(struct __sk_buff *ctx, struct quote *q)
{
	__u8 *proto;
	int i;

	if (!q)
		return -1;
	proto = &q->reversed.proto;
#pragma clang loop unroll(full)
	for (i = 0; i <= QUOTED_EXT_MAX; i++) {
		__u8 head[8];

		if (*proto != IPPROTO_HOPOPTS && *proto != IPPROTO_ROUTING &&
		    *proto != IPPROTO_DSTOPTS && *proto != IPPROTO_FRAGMENT)
			return 0;
		if (i == QUOTED_EXT_MAX || q->l4_off + sizeof(head) > q->end)
			return -1;
		if (bpf_skb_load_bytes(ctx, q->l4_off, head, sizeof(head)))
			return -1;
		if (*proto == IPPROTO_FRAGMENT && ((__u16)head[2] << 8 | head[3]) & 0xfff8)
			return -1;
		q->l4_off += *proto == IPPROTO_FRAGMENT ? 8 : ((__u32)head[1] + 1) * 8;
		*proto = head[0];
	}
	return -1;
}

static __always_inline int read_quote_ip(struct __sk_buff *ctx, bool v6, struct quote *q)
{
	struct packet *r = &q->reversed;

	if (v6) {
		struct ipv6hdr ip;

		if (q->l3_off + sizeof(ip) > q->end)
			return -1;
		if (bpf_skb_load_bytes(ctx, q->l3_off, &ip, sizeof(ip)))
			return -1;
		__builtin_memcpy(r->daddr, &ip.saddr, 16);
		__builtin_memcpy(r->saddr, &ip.daddr, 16);
		r->proto = ip.nexthdr;
		q->l4_off = q->l3_off + sizeof(ip);
		return skip_quoted_ext(ctx, q);
	} else {
		struct iphdr ip;

		if (q->l3_off + sizeof(ip) > q->end)
			return -1;
		if (bpf_skb_load_bytes(ctx, q->l3_off, &ip, sizeof(ip)))
			return -1;
		if (ip.ihl < 5 || ip.frag_off & bpf_htons(IP_OFFSET))
			return -1;
		r->daddr[0] = ip.saddr;
		r->saddr[0] = ip.daddr;
		r->proto = ip.protocol;
		q->l4_off = q->l3_off + ip.ihl * 4;
	}
	return 0;
}

static __always_inline int read_quote_l4(struct __sk_buff *ctx, bool v6, struct quote *q)
{
	struct packet *r = &q->reversed;
	struct icmp_head head; /* as large as what any protocol must quote */

	if (r->proto != IPPROTO_TCP && r->proto != IPPROTO_UDP && r->proto != IPPROTO_SCTP &&
	    r->proto != icmp_proto(v6)) {
		r->flags |= PKT_NO_PORTS;
		return 0;
	}
	if (q->l4_off + sizeof(head) > q->end)
		return -1;
	if (bpf_skb_load_bytes(ctx, q->l4_off, &head, sizeof(head)))
		return -1;
	if (r->proto == icmp_proto(v6)) {
		if (head.type == (v6 ? ICMP6_ECHO : ICMP4_ECHO)) {
			r->flags |= PKT_ECHO_REPLY;
			r->dport = head.id;
		} else if (head.type == (v6 ? ICMP6_ECHO_REPLY : ICMP4_ECHO_REPLY)) {
			r->flags |= PKT_ECHO_REQUEST;
			r->sport = head.id;
		} else {
			return -1;
		}
		return 0;
	}
	r->dport = ((struct ports_head *)&head)->sport;
	r->sport = ((struct ports_head *)&head)->dport;
	return 0;
}

static __always_inline int store_addr(struct __sk_buff *ctx, bool v6, __u32 off, const __be32 *addr)
{
	return bpf_skb_store_bytes(ctx, off, addr, v6 ? 16 : 4, 0);
}

/* Subtracts diff's effect from the 16-bit checksum at off: the data changed by diff. */
static __always_inline int patch_checksum(struct __sk_buff *ctx, __u32 off, __u32 diff)
{
	__u16 check;

	if (bpf_skb_load_bytes(ctx, off, &check, sizeof(check)))
		return -1;
	check = csum_fold(csum_add(~(__u32)check & 0xffff, diff));
	return bpf_skb_store_bytes(ctx, off, &check, sizeof(check), 0);
}

/*
 * The quoted transport checksum, where the quote is long enough to hold it and
 * it isn't the zero that UDP uses for none. Returns whether it was patched.
 */
static __always_inline bool patch_quoted_l4(struct __sk_buff *ctx, const struct quote *q, __u32 off,
					    __u32 diff)
{
	__u16 check;

	if (off + sizeof(check) > q->end)
		return false;
	if (bpf_skb_load_bytes(ctx, off, &check, sizeof(check)))
		return false;
	if (q->reversed.proto == IPPROTO_UDP && !check)
		return false;
	return !patch_checksum(ctx, off, diff);
}

static __always_inline int rewrite_quoted_ports(struct __sk_buff *ctx, const struct quote *q,
						const struct flow *f)
{
	const struct packet *r = &q->reversed;
	__be16 ports[2] = { f->dport, f->sport };

	if (r->flags & PKT_ECHO_REPLY)
		return bpf_skb_store_bytes(ctx, q->l4_off + 4, &f->dport, 2, 0);
	if (r->flags & PKT_ECHO_REQUEST)
		return bpf_skb_store_bytes(ctx, q->l4_off + 4, &f->sport, 2, 0);
	return bpf_skb_store_bytes(ctx, q->l4_off, ports, sizeof(ports), 0);
}

/*
 * Rewrites the quoted packet. *sum is what the error's own checksum has to
 * take in: all changes in its payload, most of which cancel each other out.
 */
static __always_inline int rewrite_quote(struct __sk_buff *ctx, bool v6, const struct quote *q,
					 const struct flow *f, __u32 *sum)
{
	const struct packet *r = &q->reversed;
	__u32 addrs = flow_addr_diff(v6, r, f), l4;
	__u32 ports = f->flags & FLOW_PORTS ? flow_port_diff(r, f) : 0;
	int off = csum_offset(r->proto);

	if (store_addr(ctx, v6, q->l3_off + (v6 ? 8 : 12), flow_daddr(v6, f)) ||
	    store_addr(ctx, v6, q->l3_off + (v6 ? 24 : 16), flow_saddr(v6, f)))
		return -1;
	/* The IPv4 header checksum takes up the addresses' change; IPv6 has none. */
	if (v6)
		*sum = addrs;
	else if (patch_checksum(ctx, q->l3_off + offsetof(struct iphdr, check), addrs))
		return -1;
	if (f->flags & FLOW_PORTS && !(r->flags & PKT_NO_PORTS)) {
		if (rewrite_quoted_ports(ctx, q, f))
			return -1;
		*sum = csum_add(*sum, ports);
	}
	l4 = r->proto == IPPROTO_ICMP ? ports : csum_add(addrs, ports);
	if (off >= 0 && patch_quoted_l4(ctx, q, q->l4_off + off, l4))
		*sum = csum_sub(*sum, l4);
	return 0;
}

/* In IPv4 the TTL's change goes into the header checksum with the addresses'. */
static __always_inline int decrement_ttl(struct __sk_buff *ctx, bool v6, const struct packet *p,
					 __u32 *header_diff)
{
	__u8 ttl = p->ttl - 1;

	if (v6)
		bpf_csum_update(ctx, ~(__u32)bpf_htons(0x0001));
	else
		*header_diff = csum_sub(*header_diff, bpf_htons(0x0100));
	return bpf_skb_store_bytes(ctx, ETH_HLEN + (v6 ? 7 : 8), &ttl, sizeof(ttl), 0);
}

/*
 * Outer source: hidden like the flow's where it is the flow's, or a container's, or where the
 * error leaves the host again.
 */
static __always_inline int rewrite_outer(struct __sk_buff *ctx, bool v6, const struct packet *p,
					 const struct quote *q, const struct flow *f, __u16 zone,
					 __u32 quote_sum)
{
	__u32 check = (p->l4_off & MAX_L4_OFF) + 2, diff;
	const __be32 *from = p->saddr, *daddr = flow_daddr(v6, f);

	if (zone != ZONE_WORLD || f->action == FLOW_FORWARD ||
	    addr_equal(v6, p->saddr, q->reversed.saddr))
		from = flow_saddr(v6, f);
	diff = csum_add(csum_addr_diff(v6, p->saddr, from), csum_addr_diff(v6, p->daddr, daddr));
	if (store_addr(ctx, v6, ETH_HLEN + (v6 ? 8 : 12), from) ||
	    store_addr(ctx, v6, ETH_HLEN + (v6 ? 24 : 16), daddr))
		return -1;
	if (decrement_ttl(ctx, v6, p, &diff))
		return -1;
	if (!v6 && patch_checksum(ctx, ETH_HLEN + offsetof(struct iphdr, check), diff))
		return -1;
	/* For IPv6 diff is the addresses' alone: the hop limit isn't in the pseudo-header. */
	if (v6 && csum_address(ctx, true, check, IPPROTO_ICMPV6, diff))
		return -1;
	return csum_payload(ctx, check, p->proto, quote_sum);
}

static __always_inline int send_translated_error(struct __sk_buff *ctx, bool v6,
						 const struct packet *p, struct flow *f)
{
	__u32 slot = f->endpoint;
	struct endpoint *ep;
	struct network *net;
	struct leg leg;

	if (f->action == FLOW_FORWARD) {
		if (find_leg(ctx, v6, p, f, &leg) != ROUTE_UPLINK)
			return dropped(DROP_NO_ROUTE);
		if (leg.has_macs &&
		    (bpf_skb_store_bytes(ctx, 0, leg.mac.mac, ETH_ALEN, 0) ||
		     bpf_skb_store_bytes(ctx, ETH_ALEN, leg.own_mac.mac, ETH_ALEN, 0)))
			return dropped(DROP_REWRITE_FAILED);
		return forward(ctx, &leg);
	}
	if (f->action != FLOW_DELIVER)
		return dropped(DROP_UNSUPPORTED);
	ep = endpoint_at(slot);
	net = ep ? network_at(ep->network) : NULL;
	if (!net)
		return dropped(DROP_ENDPOINT_GONE);
	if (bpf_skb_store_bytes(ctx, 0, ep->mac, ETH_ALEN, 0) ||
	    bpf_skb_store_bytes(ctx, ETH_ALEN, net->gateway_mac, ETH_ALEN, 0))
		return dropped(DROP_REWRITE_FAILED);
	return deliver(ctx, ep, slot);
}

/* An ICMP error: translated if it is about a flow of ours, else NEXT. */
static __always_inline int translate_error(struct __sk_buff *ctx, bool v6, const struct packet *p,
					   __u16 zone)
{
	struct quote *q = new_quote();
	struct flow *f;
	__u32 sum = 0;

	if (!q)
		return TC_ACT_SHOT;
	q->l3_off = (p->l4_off & MAX_L4_OFF) + sizeof(struct icmp_head);
	q->end = p->l3_len ? ETH_HLEN + p->l3_len : ctx->len;
	if (read_quote_ip(ctx, v6, q) || read_quote_l4(ctx, v6, q))
		return NEXT;
	f = flow_find(v6, &q->reversed, zone);
	if (!f || !flow_is_current(f) || !addr_equal(v6, p->daddr, q->reversed.daddr))
		return NEXT;
	/* Only the container that the quoted packet went to may complain about it. */
	if (zone != ZONE_WORLD && !addr_equal(v6, p->saddr, q->reversed.saddr))
		return NEXT;
	/* No error about an error (RFC 1122, 3.2.2): it ends here, unanswered. */
	if (p->ttl <= 1)
		return dropped(DROP_UNSUPPORTED);
	if (f->flags & FLOW_REWRITE && rewrite_quote(ctx, v6, q, f, &sum))
		return dropped(DROP_REWRITE_FAILED);
	if (rewrite_outer(ctx, v6, p, q, f, zone, sum))
		return dropped(DROP_REWRITE_FAILED);
	return send_translated_error(ctx, v6, p, f);
}
