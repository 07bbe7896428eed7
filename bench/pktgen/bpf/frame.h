/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The frames that the generator makes and the sinks look for. Lengths are
 * constants, so that a frame is written by a few wide stores.
 */
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
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* A datagram's payload begins with the mark that tells a run's packets from others. */
#define PAYLOAD_LEN 20

/* Offsets of the headers, from a frame's first byte, and lengths of frames. */
#define IP_OFF ETH_HLEN
#define L4_OFF4 (IP_OFF + sizeof(struct iphdr))
#define L4_OFF6 (IP_OFF + sizeof(struct ipv6hdr))
#define UDP_LEN (sizeof(struct udphdr) + PAYLOAD_LEN)
#define UDP4_FRAME (L4_OFF4 + UDP_LEN)
#define UDP6_FRAME (L4_OFF6 + UDP_LEN)
#define SYN4_FRAME (L4_OFF4 + sizeof(struct tcphdr))
#define SYN6_FRAME (L4_OFF6 + sizeof(struct tcphdr))

/* RFC 1071 on words as they lie in memory. */
static __always_inline __u32 csum_add(__u32 a, __u32 b)
{
	__u64 sum = (__u64)a + b;

	return (__u32)sum + (__u32)(sum >> 32);
}

static __always_inline __u16 csum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}
