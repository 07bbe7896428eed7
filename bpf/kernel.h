/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel's side of the house: uapi headers, helpers, and what old uapi lacks. */
#pragma once

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

/*
 * "Not ours, ask the next program": TCX_NEXT, which clsact reads as
 * TC_ACT_UNSPEC. TC_ACT_OK would hide the packet from programs after us.
 */
#define NEXT TC_ACT_UNSPEC

#define AF_INET 2
#define AF_INET6 10

/* skb->pkt_type, linux/if_packet.h */
#define PACKET_HOST 0
#define PACKET_BROADCAST 1
#define PACKET_MULTICAST 2
#define PACKET_OTHERHOST 3

#ifndef IPPROTO_ICMPV6
#define IPPROTO_ICMPV6 58
#endif

/* Since 6.16; see csum_address() for kernels before it. */
#define CSUM_F_IPV6 (1ULL << 7)
