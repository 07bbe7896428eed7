/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who may reach an endpoint's own address from outside its network. */
#pragma once

#include "publish.h"

/* Whether what comes in on the device reaches the network's published ports directly. */
static __always_inline bool network_trusts(__u32 slot, const struct network *net, __u32 ifindex)
{
	struct trusted_key key = { .network = slot, .ifindex = ifindex };

	return net->flags & NETWORK_TRUSTS && bpf_map_lookup_elem(&trusted_devices, &key);
}

/* Whether the network in slot lets anything in that comes from the device. */
static __always_inline bool may_admit(bool v6, __u32 slot, const struct network *net, __u32 ifindex)
{
	return !(net->flags & NETWORK_INTERNAL) &&
	       (network_is_open(net, v6) || network_is_routed(net, v6) ||
		network_trusts(slot, net, ifindex));
}

/*
 * Whether the network in slot lets a packet from the device in. Docker's rules:
 * nat-unprotected admits everything, routed published ports and echo, nat what
 * comes from a trusted device to published ports.
 */
static __always_inline bool admits(bool v6, const struct packet *p, __u32 slot,
				   const struct network *net, __u32 ifindex)
{
	bool routed = network_is_routed(net, v6);

	if (net->flags & NETWORK_INTERNAL)
		return false;
	if (network_is_open(net, v6))
		return true;
	if (routed && p->proto == icmp_proto(v6))
		return p->flags & PKT_ECHO_REQUEST;
	if (p->flags & PKT_NO_PORTS || (!routed && !network_trusts(slot, net, ifindex)))
		return false;
	return publish_is_routed(v6, slot, p->daddr, p->dport, p->proto);
}
