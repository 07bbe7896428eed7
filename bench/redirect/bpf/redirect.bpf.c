// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What any datapath at tc's hooks does at the least: rewrite, correct checksums,
 * redirect. Addresses, MACs, devices and what they do to checksums are known before
 * the first packet, so there is no table to ask, no policy and nothing to remember.
 *
 * TCP and UDP right behind a plain IP header are carried; what else comes is the
 * stack's.
 *
 * On request they look each packet's connection up, as whoever keeps any has to, and take
 * the address from what they find. The entries are as large as Fairway's, and as many.
 */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* TCX_NEXT, which older headers don't have. */
#define NEXT TC_ACT_UNSPEC

/* skb->pkt_type, linux/if_packet.h */
#define PACKET_HOST 0

/* skb->ip_summed, linux/skbuff.h */
#define CHECKSUM_COMPLETE 2
#define CHECKSUM_PARTIAL 3

struct sk_buff___bench {
	__u8 ip_summed : 2;
} __attribute__((preserve_access_index));

void *bpf_cast_to_kern_ctx(void *ctx) __ksym;

#define IP_MF 0x2000
#define IP_OFFSET 0x1fff

#define L4_OFF4 (ETH_HLEN + sizeof(struct iphdr))
#define L4_OFF6 (ETH_HLEN + sizeof(struct ipv6hdr))

/* struct ethhdr is packed: its MACs would be copied byte by byte. */
struct ethernet {
	__u16 dst[3], src[3];
	__be16 proto;
};

/* Where packets go, and what is written into them. */
struct way {
	__u32 device;
	/* The address that takes the place of the container's or the host's. */
	__be32 ip4, ip6[4];
	/*
	 * What that adds to checksums, folded: to those of TCP and UDP, and to
	 * IPv4's own, which the TTL's step is part of.
	 */
	__u32 sum4, sum6, header;
	__u16 dst[3], src[3];
};

/*
 * Into the first container, with its address as the destination, and out to the
 * LAN, with the host's as the source. Of the way to the second container only the
 * device and the destination's MAC count.
 */
struct way in, out, second;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} redirected SEC(".maps");

/* Look connections up; set before the programs are loaded, with the size of the tables. */
volatile const bool looks_up = false;

struct flow4_key {
	__be32 saddr;
	__be32 daddr;
	__be16 ports[2];
	__u32 proto;
};

struct flow6_key {
	__be32 saddr[4];
	__be32 daddr[4];
	__be16 ports[2];
	__u32 proto;
};

/* As long as struct flow of the datapath; what is read lies at both ends of an entry. */
struct flow4 {
	__u32 known;
	__u32 room[9];
	__be32 saddr;
	__be32 daddr;
};

struct flow6 {
	__u32 known;
	__u32 room[9];
	__be32 saddr[4];
	__be32 daddr[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct flow4_key);
	__type(value, struct flow4);
} flows4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct flow6_key);
	__type(value, struct flow6);
} flows6 SEC(".maps");

static __always_inline void count(void)
{
	__u32 key = 0;
	__u64 *n = bpf_map_lookup_elem(&redirected, &key);

	if (n)
		(*n)++;
}

static __always_inline bool same_mac(const __u16 *a, const __u16 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2];
}

static __always_inline bool same_ip6(const struct in6_addr *a, const __be32 *b)
{
	const __be32 *words = a->in6_u.u6_addr32;

	return words[0] == b[0] && words[1] == b[1] && words[2] == b[2] && words[3] == b[3];
}

static __always_inline bool is_carried(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP;
}

static __always_inline bool is_plain4(const struct iphdr *ip)
{
	return ip->ihl == 5 && ip->ttl > 1 && !(ip->frag_off & bpf_htons(IP_MF | IP_OFFSET)) &&
	       is_carried(ip->protocol);
}

static __always_inline bool is_plain6(const struct ipv6hdr *ip)
{
	return ip->hop_limit > 1 && is_carried(ip->nexthdr);
}

/* Both sums are folded: there is one carry at most. */
static __always_inline void step4(struct iphdr *ip, const struct way *way)
{
	__u32 sum = (__u16)~ip->check + way->header;

	ip->ttl--;
	ip->check = ~((sum & 0xffff) + (sum >> 16));
}

static __always_inline void write_macs(struct ethernet *eth, const struct way *way)
{
	__builtin_memcpy(eth->dst, way->dst, sizeof(way->dst));
	__builtin_memcpy(eth->src, way->src, sizeof(way->src));
}

/* The sum is folded; the field holds the pseudo-header's sum alone, or an inverted one of all. */
static __always_inline void add_to(__u16 *check, bool partial, __u32 sum)
{
	sum += partial ? *check : (__u16) ~*check;
	sum = (sum & 0xffff) + (sum >> 16);
	*check = partial ? sum : ~sum;
}

/*
 * CHECKSUM_COMPLETE would want a sum beside the packet corrected, too, but nothing
 * here has it: it comes from network cards.
 */
static __always_inline int checksum(struct __sk_buff *skb, __u32 l4, __u8 proto, __u32 sum)
{
	const struct sk_buff___bench *kernel = bpf_cast_to_kern_ctx(skb);
	__u8 state = BPF_CORE_READ_BITFIELD(kernel, ip_summed);
	__u32 off = l4 + (proto == IPPROTO_TCP ? offsetof(struct tcphdr, check) :
						 offsetof(struct udphdr, check));
	__u16 *check = (void *)(long)skb->data + off;

	if (state == CHECKSUM_COMPLETE || (void *)(check + 1) > (void *)(long)skb->data_end)
		return -1;
	/* UDP without a checksum keeps none; a sum of 0 is written as its other form. */
	if (proto == IPPROTO_UDP && !*check)
		return 0;
	add_to(check, state == CHECKSUM_PARTIAL, sum);
	if (proto == IPPROTO_UDP && !*check)
		*check = 0xffff;
	return 0;
}

static __always_inline int let_in(struct __sk_buff *skb, __u32 l4, __u8 proto, __u32 sum)
{
	if (checksum(skb, l4, proto, sum))
		return TC_ACT_SHOT;
	if (skb->pkt_type != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	count();
	return bpf_redirect_peer(in.device, 0);
}

static __always_inline int let_out(struct __sk_buff *skb, __u32 l4, __u8 proto, __u32 sum)
{
	if (checksum(skb, l4, proto, sum))
		return TC_ACT_SHOT;
	count();
	return bpf_redirect(out.device, 0);
}

/* The connection of a packet that is to have these addresses, entered if it is the first one. */
static __always_inline const struct flow4 *flow4_of(struct __sk_buff *skb, const struct iphdr *ip,
						    __be32 saddr, __be32 daddr)
{
	struct flow4 flow = { .known = 1, .saddr = saddr, .daddr = daddr };
	struct flow4_key key = { .saddr = ip->saddr, .daddr = ip->daddr, .proto = ip->protocol };
	const __be16 *ports = (const void *)(ip + 1);
	struct flow4 *found;

	if ((void *)(ports + 2) > (void *)(long)skb->data_end)
		return NULL;
	__builtin_memcpy(key.ports, ports, sizeof(key.ports));
	found = bpf_map_lookup_elem(&flows4, &key);
	if (found)
		return found;
	bpf_map_update_elem(&flows4, &key, &flow, BPF_ANY);
	flow = (struct flow4){ .known = 1, .saddr = key.daddr, .daddr = key.saddr };
	key = (struct flow4_key){ daddr, saddr, { key.ports[1], key.ports[0] }, key.proto };
	bpf_map_update_elem(&flows4, &key, &flow, BPF_ANY);
	return NULL;
}

static __always_inline void copy6(__be32 *to, const void *from)
{
	__builtin_memcpy(to, from, 16);
}

static __always_inline const struct flow6 *flow6_of(struct __sk_buff *skb, const struct ipv6hdr *ip,
						    const void *saddr, const void *daddr)
{
	struct flow6_key key = { .proto = ip->nexthdr }, twin = { .proto = ip->nexthdr };
	struct flow6 flow = { .known = 1 };
	const __be16 *ports = (const void *)(ip + 1);
	struct flow6 *found;

	if ((void *)(ports + 2) > (void *)(long)skb->data_end)
		return NULL;
	copy6(key.saddr, &ip->saddr);
	copy6(key.daddr, &ip->daddr);
	__builtin_memcpy(key.ports, ports, sizeof(key.ports));
	found = bpf_map_lookup_elem(&flows6, &key);
	if (found)
		return found;
	copy6(twin.saddr, daddr);
	copy6(twin.daddr, saddr);
	twin.ports[0] = key.ports[1];
	twin.ports[1] = key.ports[0];
	copy6(flow.saddr, saddr);
	copy6(flow.daddr, daddr);
	bpf_map_update_elem(&flows6, &key, &flow, BPF_ANY);
	copy6(flow.saddr, key.daddr);
	copy6(flow.daddr, key.saddr);
	bpf_map_update_elem(&flows6, &twin, &flow, BPF_ANY);
	return NULL;
}

static __always_inline int from_lan4(struct __sk_buff *skb)
{
	const struct flow4 *flow = NULL;
	struct ethernet *eth = (void *)(long)skb->data;
	struct iphdr *ip = (void *)(eth + 1);
	__u8 proto;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end || ip->daddr != out.ip4 ||
	    !is_plain4(ip))
		return NEXT;
	proto = ip->protocol;
	if (looks_up)
		flow = flow4_of(skb, ip, ip->saddr, in.ip4);
	write_macs(eth, &in);
	ip->daddr = flow && flow->known ? flow->daddr : in.ip4;
	step4(ip, &in);
	return let_in(skb, L4_OFF4, proto, in.sum4);
}

static __always_inline int from_lan6(struct __sk_buff *skb)
{
	const struct flow6 *flow = NULL;
	struct ethernet *eth = (void *)(long)skb->data;
	struct ipv6hdr *ip = (void *)(eth + 1);
	__u8 proto;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end || !same_ip6(&ip->daddr, out.ip6) ||
	    !is_plain6(ip))
		return NEXT;
	proto = ip->nexthdr;
	if (looks_up)
		flow = flow6_of(skb, ip, &ip->saddr, in.ip6);
	write_macs(eth, &in);
	__builtin_memcpy(&ip->daddr, flow && flow->known ? flow->daddr : in.ip6, sizeof(in.ip6));
	ip->hop_limit--;
	return let_in(skb, L4_OFF6, proto, in.sum6);
}

/* At the uplink: what comes for the host's address is the first container's. */
SEC("tc")
int from_lan(struct __sk_buff *skb)
{
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return from_lan4(skb);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return from_lan6(skb);
	return NEXT;
}

static __always_inline int to_lan4(struct __sk_buff *skb)
{
	const struct flow4 *flow = NULL;
	struct ethernet *eth = (void *)(long)skb->data;
	struct iphdr *ip = (void *)(eth + 1);
	__u8 proto;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end || !same_mac(eth->dst, in.src) ||
	    ip->saddr != in.ip4 || !is_plain4(ip))
		return NEXT;
	proto = ip->protocol;
	if (looks_up)
		flow = flow4_of(skb, ip, out.ip4, ip->daddr);
	write_macs(eth, &out);
	ip->saddr = flow && flow->known ? flow->saddr : out.ip4;
	step4(ip, &out);
	return let_out(skb, L4_OFF4, proto, out.sum4);
}

static __always_inline int to_lan6(struct __sk_buff *skb)
{
	const struct flow6 *flow = NULL;
	struct ethernet *eth = (void *)(long)skb->data;
	struct ipv6hdr *ip = (void *)(eth + 1);
	__u8 proto;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end || !same_mac(eth->dst, in.src) ||
	    !same_ip6(&ip->saddr, in.ip6) || !is_plain6(ip))
		return NEXT;
	proto = ip->nexthdr;
	if (looks_up)
		flow = flow6_of(skb, ip, out.ip6, &ip->daddr);
	write_macs(eth, &out);
	__builtin_memcpy(&ip->saddr, flow && flow->known ? flow->saddr : out.ip6, sizeof(out.ip6));
	ip->hop_limit--;
	return let_out(skb, L4_OFF6, proto, out.sum6);
}

/* At the first container: what is for the gateway's MAC goes to the LAN. */
SEC("tc")
int to_lan(struct __sk_buff *skb)
{
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return to_lan4(skb);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return to_lan6(skb);
	return NEXT;
}

/*
 * From one container to the other nothing is written. These programs are none that
 * write, because the kernel has those begin with making the packet writable.
 */
static __always_inline int switched(struct __sk_buff *skb, const struct way *way)
{
	struct ethernet *eth = (void *)(long)skb->data;

	if ((void *)(eth + 1) > (void *)(long)skb->data_end || !same_mac(eth->dst, way->dst))
		return NEXT;
	bpf_skb_change_type(skb, PACKET_HOST);
	count();
	return bpf_redirect_peer(way->device, 0);
}

SEC("tc")
int to_first(struct __sk_buff *skb)
{
	return switched(skb, &in);
}

SEC("tc")
int to_second(struct __sk_buff *skb)
{
	return switched(skb, &second);
}

char _license[] SEC("license") = "Dual BSD/GPL";
