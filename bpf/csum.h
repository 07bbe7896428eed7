/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Internet checksum arithmetic (RFC 1071, RFC 1624) on sums kept unfolded in 32
 * bits, with words as they lie in memory: no byte swapping anywhere. What is summed up in
 * 64 bits needs no carry until it is folded.
 */
#pragma once

#include "config.h"
#include "packet.h"

static __always_inline __u32 csum_add(__u32 a, __u32 b)
{
	__u64 sum = (__u64)a + b;

	return (__u32)sum + (__u32)(sum >> 32);
}

static __always_inline __u32 csum_sub(__u32 a, __u32 b)
{
	return csum_add(a, ~b);
}

/* The same sum in 32 bits. */
static __always_inline __u32 csum_narrow(__u64 sum)
{
	sum = (__u32)sum + (sum >> 32);
	return (__u32)sum + (__u32)(sum >> 32);
}

static __always_inline __u16 csum_fold(__u64 sum)
{
	sum = (__u32)sum + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/*
 * What replacing a word by another adds to a sum. One word after the other: put in another
 * order by the compiler, all of two addresses would be on the stack at once.
 */
static __always_inline __u64 csum_word_change(__u64 sum, __be32 from, __be32 to)
{
	sum += to;
	sum += (__u32)~from;
	barrier_var(sum);
	return sum;
}

static __always_inline __u64 csum_addr_change(bool v6, __u64 sum, const __be32 *from,
					      const __be32 *to)
{
	sum = csum_word_change(sum, from[0], to[0]);
	if (v6) {
		sum = csum_word_change(sum, from[1], to[1]);
		sum = csum_word_change(sum, from[2], to[2]);
		sum = csum_word_change(sum, from[3], to[3]);
	}
	return sum;
}

/* What replacing one address by another adds to a sum that covers it. */
static __always_inline __u32 csum_addr_diff(bool v6, const __be32 *from, const __be32 *to)
{
	return csum_narrow(csum_addr_change(v6, 0, from, to));
}

/* The same for a 16-bit field at an even offset. */
static __always_inline __u32 csum_field_diff(__u16 from, __u16 to)
{
	return (__u32)to + (__u16)~from;
}

/* Offset of the checksum in the transport header, or -1 if it has none to keep. */
static __always_inline int csum_offset(__u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return offsetof(struct tcphdr, check);
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
		return offsetof(struct udphdr, check);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 2;
	}
	return -1;
}

/* skb->ip_summed, linux/skbuff.h: what the field of a transport checksum holds. */
enum checksum_state {
	CHECKSUM_COMPLETE = 2, /* the sum; skb->csum is that of the whole packet */
	CHECKSUM_PARTIAL = 3,  /* the pseudo-header's sum, uninverted; a device does the rest */
};

struct sk_buff___fairway {
	unsigned char *head;
	unsigned char *data;
	__u16 csum_start; /* from head */
	__u16 csum_offset;
	__u8 ip_summed : 2;
} __attribute__((preserve_access_index));

void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak;

/*
 * Programs may look at it since Linux 6.2. On older kernels everything counts as
 * CHECKSUM_COMPLETE: the helpers look for themselves, and do right by any state.
 */
static __always_inline __u32 checksum_state(struct __sk_buff *ctx)
{
	const struct sk_buff___fairway *skb;

	if (!have_kern_ctx)
		return CHECKSUM_COMPLETE;
	skb = bpf_cast_to_kern_ctx(ctx);
	return BPF_CORE_READ_BITFIELD(skb, ip_summed);
}

/* Where the sum that is still to be finished begins, from the start of the frame. */
static __always_inline __u32 checksum_start(const struct sk_buff___fairway *skb)
{
	return skb->csum_start - (__u32)((long)skb->data - (long)skb->head);
}

/*
 * Whether it is a UDP datagram's own checksum that is still to be finished, and not that of
 * what a tunnel carries in it (local checksum offload), whose own is complete then, but not
 * where a device is to cut the packet into segments. Not inline, for the size of programs.
 */
__noinline int udp_checksum_is_partial(struct __sk_buff *ctx, __u32 l4_off)
{
	if (!have_kern_ctx || ctx->gso_size)
		return true;
	return checksum_start(bpf_cast_to_kern_ctx(ctx)) == l4_off;
}

/* Whether the field of the transport's checksum holds the pseudo-header's sum. */
static __always_inline bool checksum_is_partial(struct __sk_buff *ctx, const struct packet *p,
						__u32 state)
{
	return state == CHECKSUM_PARTIAL &&
	       (p->proto != IPPROTO_UDP || udp_checksum_is_partial(ctx, p->l4_off));
}

/* linux/sctp.h: struct sctphdr */
#define SCTP_CHECKSUM_OFFSET 8

/*
 * Whether what lies behind the transport's header may be a tunnel's, with a checksum of
 * its own, and is nothing that a guard or a translation has read. Of a protocol that no
 * program knows that is all: GRE has its checksum in its header.
 */
static __always_inline bool is_own_affair(const struct packet *p, __u32 start)
{
	if (p->proto == IPPROTO_UDP)
		return start >= p->l4_off + sizeof(struct udphdr);
	return csum_offset(p->proto) < 0 && p->proto != IPPROTO_SCTP && start >= p->l4_off;
}

/*
 * Whether the checksum that is still to be finished lies where the transport has it, or
 * in what a tunnel carries. Whoever sends through a packet socket says where it lies
 * (PACKET_VNET_HDR), and so could have a device write 16 bits of his choice over a
 * header after all guards and translations. Before Linux 6.2 no program can tell.
 */
static __always_inline bool checksum_is_in_place(struct __sk_buff *ctx, const struct packet *p)
{
	const struct sk_buff___fairway *skb;
	int offset = p->proto == IPPROTO_SCTP ? SCTP_CHECKSUM_OFFSET : csum_offset(p->proto);
	__u32 start;

	if (!have_kern_ctx)
		return true;
	skb = bpf_cast_to_kern_ctx(ctx);
	if (BPF_CORE_READ_BITFIELD(skb, ip_summed) != CHECKSUM_PARTIAL)
		return true;
	start = checksum_start(skb);
	if (start == p->l4_off && skb->csum_offset == offset)
		return true;
	return start < ctx->len && is_own_affair(p, start);
}

/*
 * What bpf_l4_csum_replace() does, but for CHECKSUM_COMPLETE, without its price: two
 * calls are a third of what it takes to translate a packet.
 */
static __always_inline void csum_in_place(__u16 *check, __u8 proto, bool partial, __u32 addr_diff,
					  __u32 port_diff)
{
	/* UDP without a checksum (RFC 768); a sum of 0 is written as its other form. */
	if (proto == IPPROTO_UDP && !*check)
		return;
	if (partial)
		*check = ~csum_fold((__u64)*check + addr_diff);
	else
		*check = csum_fold((__u64)(__u16) ~*check + addr_diff + port_diff);
	if (proto == IPPROTO_UDP && !*check)
		*check = 0xffff;
}

/*
 * Carries an address change into a transport checksum at off.
 *
 * Before 6.16 the helper takes every pseudo-header change for an IPv4 one and
 * corrects skb->csum for it; with CHECKSUM_COMPLETE and IPv6 that is wrong,
 * because there the header's own bytes changed by the same amount. Adding the
 * difference back mends it; for other checksum states the call has no effect.
 */
static __always_inline int csum_address(struct __sk_buff *ctx, bool v6, __u32 off, __u8 proto,
					__u32 diff)
{
	__u64 flags = BPF_F_PSEUDO_HDR;
	int err;

	if (proto == IPPROTO_UDP)
		flags |= BPF_F_MARK_MANGLED_0;
	if (v6 && have_csum_ipv6)
		flags |= CSUM_F_IPV6;
	err = bpf_l4_csum_replace(ctx, off, 0, diff, flags);
	if (v6 && !have_csum_ipv6)
		bpf_csum_update(ctx, diff);
	return err;
}

static __always_inline int csum_payload(struct __sk_buff *ctx, __u32 off, __u8 proto, __u32 diff)
{
	return bpf_l4_csum_replace(ctx, off, 0, diff,
				   proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0);
}
