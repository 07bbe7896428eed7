/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who is behind a device, an address or a MAC. */
#pragma once

#include "maps.h"
#include "packet.h"

static __always_inline struct endpoint *endpoint_at(__u32 slot)
{
	return bpf_map_lookup_elem(&endpoints, &slot);
}

static __always_inline struct network *network_at(__u32 slot)
{
	return bpf_map_lookup_elem(&networks, &slot);
}

/* What is known of a device; NULL if it isn't that kind. */
static __always_inline struct device *device_at(__u32 ifindex, enum device_flag kind)
{
	__u32 key = ifindex & (DEVICE_SLOTS - 1);
	struct device *dev = bpf_map_lookup_elem(&devices, &key);

	return dev && dev->ifindex == ifindex && dev->flags & kind ? dev : NULL;
}

/* The endpoint behind the device; NULL if it has none that is ready. */
static __always_inline struct endpoint *endpoint_of_device(__u32 ifindex, __u32 *slot)
{
	struct device *dev = device_at(ifindex, DEVICE_ENDPOINT);
	struct endpoint *ep;

	if (!dev)
		return NULL;
	*slot = dev->endpoint;
	ep = endpoint_at(dev->endpoint);
	if (!ep || !(ep->flags & ENDPOINT_READY) || ep->ifindex != ifindex)
		return NULL;
	return ep;
}

static __always_inline struct endpoint *endpoint_of_addr(bool v6, __u32 network, const __be32 *addr,
							 __u32 *slot)
{
	struct endpoint_addr_key key = { .network = network };
	__u32 *found;
	struct endpoint *ep;

	addr_map(v6, key.addr, addr);
	found = bpf_map_lookup_elem(&endpoint_addrs, &key);
	if (!found)
		return NULL;
	*slot = *found;
	ep = endpoint_at(*found);
	return ep && ep->flags & ENDPOINT_READY ? ep : NULL;
}

/*
 * The slot of the network whose subnet holds addr; MAX_NETWORKS if none. This is for packets
 * that come from outside, or out of the host's stack: they tell no more than an address, and
 * of networks that have the same one the host's routes lead to one only. What a container
 * sends is its own network's first; see network_holds().
 */
static __always_inline __u32 network_of_addr(bool v6, const __be32 *addr)
{
	struct subnet_key key = { .prefixlen = 128 };
	__u32 *slot;

	addr_map(v6, key.addr, addr);
	slot = bpf_map_lookup_elem(&subnets, &key);
	return slot ? *slot : MAX_NETWORKS;
}

/*
 * Why a packet from outside must not come in, whoever it is for and whatever else it is.
 * A container's address is nobody's outside; whose it is shows only inside.
 */
static __always_inline enum drop_reason guard_outside(bool v6, const struct packet *p)
{
	if (addr_is_loopback(v6, p->daddr) || addr_is_loopback(v6, p->saddr) ||
	    addr_is_multicast(v6, p->saddr))
		return DROP_MARTIAN;
	if (network_of_addr(v6, p->saddr) != MAX_NETWORKS)
		return DROP_SPOOFED_ADDRESS;
	return DROP_NONE;
}

/* NULL if addr isn't the host's; else 1 + network slot for gateways, 0 for others. */
static __always_inline __u32 *host_addr(bool v6, const __be32 *addr)
{
	struct addr_key key;

	addr_map(v6, key.addr, addr);
	return bpf_map_lookup_elem(&host_addrs, &key);
}

static __always_inline bool mac_equal(const __u8 *a, const __u8 *b)
{
	return !((*(__u16 *)a ^ *(__u16 *)b) | (*(__u16 *)(a + 2) ^ *(__u16 *)(b + 2)) |
		 (*(__u16 *)(a + 4) ^ *(__u16 *)(b + 4)));
}

static __always_inline bool is_gateway(bool v6, const struct network *net, const __be32 *addr)
{
	__be32 gw[4];

	if (!v6)
		return addr[0] == net->gateway4;
	addr6_load(gw, net->gateway6);
	return addr6_equal(addr, gw);
}

static __always_inline void gateway_of(bool v6, const struct network *net, __be32 *addr)
{
	if (v6)
		addr6_load(addr, net->gateway6);
	else
		addr[0] = net->gateway4;
}

/* Whether addr is in a subnet of the network. */
static __always_inline bool network_holds(bool v6, const struct network *net, const __be32 *addr)
{
	__be32 subnet[4], mask[4];

	if (!v6)
		return net->mask4 && !((addr[0] ^ net->subnet4) & net->mask4);
	addr6_load(subnet, net->subnet6);
	addr6_load(mask, net->mask6);
	return mask[0] && !((addr[0] ^ subnet[0]) & mask[0] || (addr[1] ^ subnet[1]) & mask[1] ||
			    (addr[2] ^ subnet[2]) & mask[2] || (addr[3] ^ subnet[3]) & mask[3]);
}

static __always_inline bool network_has(const struct network *net, bool v6)
{
	return net->flags & (v6 ? NETWORK_IPV6 : NETWORK_IPV4);
}

static __always_inline bool network_masquerades(const struct network *net, bool v6)
{
	return net->flags & (v6 ? NETWORK_MASQ6 : NETWORK_MASQ4);
}

static __always_inline bool network_is_open(const struct network *net, bool v6)
{
	return net->flags & (v6 ? NETWORK_OPEN6 : NETWORK_OPEN4);
}

static __always_inline bool network_is_routed(const struct network *net, bool v6)
{
	return net->flags & (v6 ? NETWORK_ROUTED6 : NETWORK_ROUTED4);
}
