/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the parser found in a packet, for both families.
 *
 * Functions that serve both families take `v6` as a constant: they are inlined
 * once for each, so no instruction of one family is executed for the other.
 */
#pragma once

#include "kernel.h"
#include "types.h"

enum packet_flag {
	PKT_FRAGMENT = 1,       /* any fragment */
	PKT_LATER_FRAGMENT = 2, /* not the first: no transport header */
	PKT_ICMP_ERROR = 4,     /* quotes another packet */
	PKT_ECHO_REQUEST = 8,
	PKT_ECHO_REPLY = 16,
	PKT_DONT_FRAGMENT = 32,
	PKT_NO_PORTS = 64,  /* protocol without ports, or ICMP that isn't echo */
	PKT_RESOLVED = 128, /* later fragment whose first one was let through */
};

enum tcp_flag {
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_ACK = 16,
};

_Static_assert((int)PKT_ECHO_REQUEST == (int)FLOW_ECHO_REQUEST, "FLOW_ECHO_REQUEST");
_Static_assert((int)PKT_ECHO_REPLY == (int)FLOW_ECHO_REPLY, "FLOW_ECHO_REPLY");

struct packet {
	__be32 saddr[4]; /* IPv4: first word only */
	__be32 daddr[4];
	__be16 sport; /* ICMP echo: identifier in the sender's place */
	__be16 dport;
	__be32 frag_id;
	__u32 tcp_seq; /* host byte order, as the next one */
	__u32 tcp_ack;
	__u16 l4_off; /* from the start of the frame */
	__u16 l3_len; /* from the network header on; 0 for jumbograms */
	__u16 l4_len; /* of a TCP header */
	__u8 proto;
	__u8 ttl;
	__u8 tcp_flags; /* TCP_* */
	__u8 flags;     /* PKT_* */
	__u8 icmp_type;
	__u8 tos;
	__u8 frag_proto; /* IPv6: what the fragment header says is next, in all fragments */
	__u8 again;      /* a SYN that a backend left unanswered; see passive.h */
};

#define MAX_L4_OFF 0x1ff

static __always_inline void *data_of(const struct __sk_buff *ctx)
{
	return (void *)(long)ctx->data;
}

static __always_inline void *data_end_of(const struct __sk_buff *ctx)
{
	return (void *)(long)ctx->data_end;
}

/* A frame as the parsers see it, of an skb or of XDP. */
struct frame {
	void *data; /* what can be read in place */
	void *end;
	__u32 len;      /* of all of it */
	bool segmented; /* a GSO packet: may be longer than its header can say */
};

static __always_inline struct frame frame_of(const struct __sk_buff *ctx)
{
	return (struct frame){ data_of(ctx), data_end_of(ctx), ctx->len, ctx->gso_size };
}

/* struct ethhdr is packed: its members would be read and written byte by byte. */
static __always_inline __be16 ether_type(const struct ethhdr *eth)
{
	return *(const __be16 *)((const void *)eth + offsetof(struct ethhdr, h_proto));
}

static __always_inline void mac_copy(__u8 *to, const __u8 *from)
{
	*(__u32 *)to = *(const __u32 *)from;
	*(__u16 *)(to + 4) = *(const __u16 *)(from + 4);
}

static __always_inline bool addr6_equal(const __be32 *a, const __be32 *b)
{
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]));
}

static __always_inline void addr6_copy(__be32 *to, const __be32 *from)
{
	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
	to[3] = from[3];
}

/* Addresses in the maps are bytes; on the stack they are words. */
static __always_inline void addr6_load(__be32 *to, const __u8 *from)
{
	__builtin_memcpy(to, from, 16);
}

static __always_inline bool addr_equal(bool v6, const __be32 *a, const __be32 *b)
{
	return v6 ? addr6_equal(a, b) : a[0] == b[0];
}

static __always_inline void addr_copy(bool v6, __be32 *to, const __be32 *from)
{
	if (v6)
		addr6_copy(to, from);
	else
		to[0] = from[0];
}

/* Request, reply or neither: enum flow_echo. */
static __always_inline __u8 echo_of(const struct packet *p)
{
	return p->flags & (PKT_ECHO_REQUEST | PKT_ECHO_REPLY);
}

/* What answers it. */
static __always_inline __u8 echo_twin(__u8 echo)
{
	return (echo & FLOW_ECHO_REQUEST) << 1 | (echo & FLOW_ECHO_REPLY) >> 1;
}

/* Makes the tuple that of the answer. */
static __always_inline void reverse(bool v6, struct packet *p)
{
	__be32 addr[4];
	__be16 port = p->sport;

	addr_copy(v6, addr, p->saddr);
	addr_copy(v6, p->saddr, p->daddr);
	addr_copy(v6, p->daddr, addr);
	p->sport = p->dport;
	p->dport = port;
	p->flags = (p->flags & ~(PKT_ECHO_REQUEST | PKT_ECHO_REPLY)) | echo_twin(echo_of(p));
}

static __always_inline bool addr_is_zero(bool v6, const __be32 *a)
{
	return v6 ? !(a[0] | a[1] | a[2] | a[3]) : !a[0];
}

/* The 16-byte form that keys of both families use. */
static __always_inline void addr_map(bool v6, __u8 *to, const __be32 *addr)
{
	__be32 words[4];

	if (v6) {
		addr6_copy(words, addr);
	} else {
		words[0] = 0;
		words[1] = 0;
		words[2] = bpf_htonl(0xffff);
		words[3] = addr[0];
	}
	__builtin_memcpy(to, words, 16);
}

static __always_inline bool addr_is_loopback(bool v6, const __be32 *a)
{
	if (v6)
		return !(a[0] | a[1] | a[2]) && a[3] == bpf_htonl(1);
	return (a[0] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

static __always_inline bool addr_is_multicast(bool v6, const __be32 *a)
{
	if (v6)
		return (a[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
	return (a[0] & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000) || a[0] == 0xffffffff;
}

/* Nobody can be answered there (RFC 1812, 5.3.7). IPv6 uses :: in neighbour discovery. */
static __always_inline bool has_no_source(bool v6, const struct packet *p)
{
	return !v6 && addr_is_zero(false, p->saddr);
}

static __always_inline bool addr6_is_mapped(const __be32 *a)
{
	return !(a[0] | a[1]) && a[2] == bpf_htonl(0xffff);
}

static __always_inline bool addr6_is_link_local(const __be32 *a)
{
	return (a[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/*
 * Whether a packet from the address may be forwarded, as the kernel's own forwarding has it
 * (RFC 4291, 2.5.2 and 2.5.6): what is sent to :: arrives on the sender's loopback device,
 * and a link-local address is somebody else's on each link.
 */
static __always_inline bool may_be_forwarded(bool v6, const __be32 *saddr)
{
	return !addr_is_zero(v6, saddr) && !(v6 && addr6_is_link_local(saddr));
}

static __always_inline __u8 icmp_proto(bool v6)
{
	return v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
}

/* A segment's headers and payload on the wire, without the Ethernet header. */
static __always_inline __u32 segment_len(const struct __sk_buff *ctx, const struct packet *p)
{
	if (!ctx->gso_size)
		return ctx->len - ETH_HLEN;
	if (p->proto == IPPROTO_TCP)
		return p->l4_off - ETH_HLEN + p->l4_len + ctx->gso_size;
	return p->l4_off - ETH_HLEN + sizeof(struct udphdr) + ctx->gso_size;
}
