/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Nobody speaks for another: source addresses, ARP, neighbour discovery, DHCP. */
#pragma once

#include "csum.h"
#include "nd.h"

#define DHCP4_SERVER 67
#define DHCP6_SERVER 547

struct arp4 {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_len;
	__u8 protocol_len;
	__be16 operation;
	__u8 sender_mac[6];
	__u8 sender_ip[4];
	__u8 target_mac[6];
	__u8 target_ip[4];
};

/*
 * Whether an ARP packet speaks only for the endpoint itself (RFC 826, RFC 5227). Where
 * containers mustn't talk to each other, it has no more behind it than a short frame.
 */
static __always_inline bool arp_is_honest(struct __sk_buff *ctx, const struct endpoint *ep,
					  const struct network *net)
{
	struct arp4 arp;
	__be32 sender;

	if (!(net->flags & NETWORK_ICC) && ctx->len > ETH_ZLEN)
		return false;
	if (bpf_skb_load_bytes(ctx, ETH_HLEN, &arp, sizeof(arp)))
		return false;
	if (arp.hardware != bpf_htons(1) || arp.protocol != bpf_htons(ETH_P_IP) ||
	    arp.hardware_len != 6 || arp.protocol_len != 4)
		return false;
	__builtin_memcpy(&sender, arp.sender_ip, 4);
	return mac_equal(arp.sender_mac, ep->mac) && (!sender || sender == ep->ip4);
}

/* fe80::/64 with the MAC's modified EUI-64 (RFC 4291, appendix A). */
static __always_inline bool is_link_local_of(const __be32 *addr, const __u8 *mac)
{
	__u8 id[8] = { mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5] };
	__be32 words[2];

	__builtin_memcpy(words, id, 8);
	return addr[0] == bpf_htonl(0xfe800000) && !addr[1] && addr[2] == words[0] &&
	       addr[3] == words[1];
}

static __always_inline bool is_address_of(bool v6, const __be32 *addr, const struct endpoint *ep)
{
	__be32 own[4];

	if (!v6)
		return addr[0] && addr[0] == ep->ip4;
	addr6_load(own, ep->ip6);
	if (addr6_equal(addr, own))
		return !addr_is_zero(true, addr);
	return is_link_local_of(addr, ep->mac);
}

/* :: is for duplicate address detection and MLD, which go to multicast only. */
static __always_inline bool source_is_honest(bool v6, const struct packet *p,
					     const struct endpoint *ep)
{
	if (is_address_of(v6, p->saddr, ep))
		return true;
	return v6 && addr_is_zero(true, p->saddr) && addr_is_multicast(true, p->daddr);
}

/* Routers are the host's part (RFC 6105); a neighbour answers for itself only. */
static __always_inline bool nd_is_honest(struct __sk_buff *ctx, const struct packet *p,
					 const struct endpoint *ep)
{
	__be32 target[4];

	if (p->icmp_type == ND_ROUTER_ADVERT || p->icmp_type == ND_REDIRECT)
		return false;
	if (p->icmp_type != ND_NEIGHBOUR_ADVERT)
		return true;
	if (bpf_skb_load_bytes(ctx, (p->l4_off & MAX_L4_OFF) + 8, target, sizeof(target)))
		return false;
	return is_address_of(true, target, ep);
}

static __always_inline bool is_dhcp_server(bool v6, const struct packet *p)
{
	return p->proto == IPPROTO_UDP && p->sport == bpf_htons(v6 ? DHCP6_SERVER : DHCP4_SERVER) &&
	       p->dport == bpf_htons(v6 ? DHCP6_SERVER - 1 : DHCP4_SERVER + 1);
}

/* Neighbour discovery that a container sends. DROP_NONE, or why not. */
static __always_inline enum drop_reason guard_nd(struct __sk_buff *ctx, const struct packet *p,
						 const struct endpoint *ep,
						 const struct network *net)
{
	if (!nd_is_honest(ctx, p, ep))
		return DROP_SPOOFED_ND;
	return nd_is_valid(ctx, p, ep, !(net->flags & NETWORK_ICC)) ? DROP_NONE : DROP_MALFORMED;
}

/* What else a container sends, whoever it is to. DROP_NONE, or why not. */
static __always_inline enum drop_reason guard_container(struct __sk_buff *ctx, bool v6,
							const struct packet *p,
							const struct endpoint *ep)
{
	if (!source_is_honest(v6, p, ep))
		return DROP_SPOOFED_ADDRESS;
	if (is_dhcp_server(v6, p))
		return DROP_DHCP_SERVER;
	return checksum_is_in_place(ctx, p) ? DROP_NONE : DROP_MALFORMED;
}
