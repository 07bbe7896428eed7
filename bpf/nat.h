/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rewriting packets as a flow entry says.
 *
 * All header fields are written directly. What the transport checksum's field
 * holds depends on the offload state; where a program can't tell, or the kernel
 * keeps a sum beside the packet, it goes through the helpers. They come last: they
 * invalidate every packet pointer.
 */
#pragma once

#include "csum.h"
#include "flow.h"
#include "parse.h"

/* MACs to write, NULL where the neighbour layer will. */
struct macs {
	const __u8 *dst;
	const __u8 *src;
};

/* What the entry's change of addresses adds to a sum that covers them; p has its key's. */
static __always_inline __u32 flow_addr_diff(bool v6, const struct packet *p, const struct flow *f)
{
	const struct flow4 *f4 = (const struct flow4 *)f;
	const struct flow6 *f6 = (const struct flow6 *)f;
	__u64 sum;

	if (v6) {
		sum = csum_addr_change(true, 0, p->saddr, f6->saddr);
		sum = csum_addr_change(true, sum, p->daddr, f6->daddr);
	} else {
		sum = csum_addr_change(false, 0, p->saddr, &f4->saddr);
		sum = csum_addr_change(false, sum, p->daddr, &f4->daddr);
	}
	return csum_narrow(sum);
}

/* The same for the ports. */
static __always_inline __u32 flow_port_diff(const struct packet *p, const struct flow *f)
{
	return csum_field_diff(p->sport, f->sport) + csum_field_diff(p->dport, f->dport);
}

static __always_inline void rewrite_macs(struct ethhdr *eth, const struct macs *macs)
{
	if (macs->dst) {
		mac_copy(eth->h_dest, macs->dst);
		mac_copy(eth->h_source, macs->src);
	}
}

static __always_inline int rewrite_ip4(void *data, void *end, const struct flow4 *f,
				       __u32 addr_diff, const struct macs *macs, bool decrement_ttl)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	__u64 sum;

	if ((void *)(ip + 1) > end)
		return -1;
	rewrite_macs(eth, macs);
	sum = (__u64)(__u16)~ip->check + addr_diff;
	if (decrement_ttl) {
		ip->ttl--;
		/* TTL is the first byte of its 16-bit word. */
		sum += (__u16)~bpf_htons(0x0100);
	}
	ip->saddr = f->saddr;
	ip->daddr = f->daddr;
	ip->check = csum_fold(sum);
	return 0;
}

static __always_inline int rewrite_ip6(void *data, void *end, const struct flow6 *f,
				       const struct macs *macs, bool decrement_ttl)
{
	struct ethhdr *eth = data;
	struct ipv6hdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > end)
		return -1;
	rewrite_macs(eth, macs);
	if (decrement_ttl)
		ip->hop_limit--;
	__builtin_memcpy(&ip->saddr, f->saddr, 16);
	__builtin_memcpy(&ip->daddr, f->daddr, 16);
	return 0;
}

static __always_inline int rewrite_ports(struct __sk_buff *ctx, const struct packet *p,
					 const struct flow *f)
{
	void *l4 = data_of(ctx) + (p->l4_off & MAX_L4_OFF);

	if (l4 + 8 > data_end_of(ctx))
		return -1;
	if (p->flags & PKT_ECHO_REQUEST) {
		((struct icmp_head *)l4)->id = f->sport;
	} else if (p->flags & PKT_ECHO_REPLY) {
		((struct icmp_head *)l4)->id = f->dport;
	} else {
		((struct ports_head *)l4)->sport = f->sport;
		((struct ports_head *)l4)->dport = f->dport;
	}
	return 0;
}

/* Everything but the ports and the transport checksum. */
static __always_inline int rewrite_ip(void *data, void *end, bool v6, const struct flow *f,
				      __u32 addr_diff, const struct macs *macs, bool decrement_ttl)
{
	if (v6)
		return rewrite_ip6(data, end, (const struct flow6 *)f, macs, decrement_ttl);
	return rewrite_ip4(data, end, (const struct flow4 *)f, addr_diff, macs, decrement_ttl);
}

/* Through the helpers, whatever the state. */
static __always_inline int rewrite_checksum_any(struct __sk_buff *ctx, bool v6,
						const struct packet *p, __u32 at, __u32 addr_diff,
						__u32 port_diff)
{
	/* ICMP has no pseudo-header, ICMPv6 has one. */
	if (p->proto != IPPROTO_ICMP && csum_address(ctx, v6, at, p->proto, addr_diff))
		return -1;
	return port_diff ? csum_payload(ctx, at, p->proto, port_diff) : 0;
}

static __always_inline int rewrite_checksum(struct __sk_buff *ctx, bool v6, const struct packet *p,
					    __u32 state, __u32 addr_diff, __u32 port_diff)
{
	__u32 at = (p->l4_off + csum_offset(p->proto)) & MAX_L4_OFF;
	__u16 *check = data_of(ctx) + at;

	if (state == CHECKSUM_COMPLETE)
		return rewrite_checksum_any(ctx, v6, p, at, addr_diff, port_diff);
	if ((void *)(check + 1) > data_end_of(ctx))
		return -1;
	csum_in_place(check, p->proto, checksum_is_partial(ctx, p, state),
		      p->proto == IPPROTO_ICMP ? 0 : addr_diff, port_diff);
	return 0;
}

/* Packet pointers are invalid after the call. */
static __always_inline int flow_rewrite(struct __sk_buff *ctx, bool v6, const struct packet *p,
					const struct flow *f, const struct macs *macs,
					bool decrement_ttl)
{
	__u32 addr_diff = flow_addr_diff(v6, p, f), port_diff = 0, state = checksum_state(ctx);
	bool rewrite = f->flags & FLOW_REWRITE, ports = f->flags & FLOW_PORTS;
	int err = rewrite_ip(data_of(ctx), data_end_of(ctx), v6, f, addr_diff, macs, decrement_ttl);

	if (err)
		return err;
	/* IPv4's header checksum makes up for the TTL; here skb->csum must. */
	if (v6 && decrement_ttl && state == CHECKSUM_COMPLETE)
		bpf_csum_update(ctx, ~(__u32)bpf_htons(0x0001));
	if (!rewrite)
		return 0;
	if (p->flags & PKT_LATER_FRAGMENT || csum_offset(p->proto) < 0) {
		/* No transport checksum takes the change of the addresses up. */
		if (v6 && state == CHECKSUM_COMPLETE)
			bpf_csum_update(ctx, addr_diff);
		return 0;
	}
	if (ports) {
		port_diff = flow_port_diff(p, f);
		if (rewrite_ports(ctx, p, f))
			return -1;
	}
	return rewrite_checksum(ctx, v6, p, state, addr_diff, port_diff);
}
