// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Makes packets: run by BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES, each
 * program writes a frame and redirects it to a device.
 *
 * The kernel hands the same pages out again without writing the frame to them,
 * as whoever had them last left them. So all of the frame is written each time.
 */
#include "frame.h"

/* What varies from flow to flow: how many of each, from the template's on. */
enum dimension {
	SRC_PORT,
	SRC_ADDR,
	DST_PORT,
	DST_ADDR,
	DIMENSIONS,
};

/* Types reach BTF, which Go's come from, only if something refers to them. */
volatile const struct {
	enum dimension dimension;
} types = {};

/* Set before the programs are loaded. */
volatile const __u32 device = 0;
volatile const __u32 flows = 1;
volatile const __u32 size[DIMENSIONS] = { 1, 1, 1, 1 };
/* Where the dimensions begin: ports, and the last words of addresses. */
volatile const __u32 base[DIMENSIONS] = { 0 };
/* Choose in each dimension at random instead of one flow after the other. */
volatile const bool at_random = false;
/* Sums over what doesn't vary, unfolded. */
volatile const __u32 ip_sum = 0, l4_sum = 0;

/* The frame, with zeroes for what varies and for checksums. */
__u8 template[UDP6_FRAME] __attribute__((aligned(8)));

/* Frames made so far; one generator runs on one CPU at a time. */
__u64 sent;
/* The flow whose turn it is, and its place in each dimension. */
__u32 flow;
__u32 at[DIMENSIONS];

/* Ports and last words of addresses of one packet, in network byte order. */
struct varying {
	__be32 saddr, daddr;
	__be16 sport, dport;
};

static __always_inline __u32 pick(enum dimension d)
{
	__u32 n = at_random ? ((__u64)bpf_get_prandom_u32() * size[d]) >> 32 : at[d];

	return base[d] + n;
}

static __always_inline void advance(void)
{
	if (++flow >= flows) {
		flow = at[SRC_PORT] = at[SRC_ADDR] = at[DST_PORT] = at[DST_ADDR] = 0;
		return;
	}
	for (int d = 0; d < DIMENSIONS; d++) {
		if (++at[d] < size[d])
			return;
		at[d] = 0;
	}
}

static __always_inline struct varying next(void)
{
	struct varying v = {
		.saddr = bpf_htonl(pick(SRC_ADDR)),
		.daddr = bpf_htonl(pick(DST_ADDR)),
		.sport = bpf_htons(pick(SRC_PORT)),
		.dport = bpf_htons(pick(DST_PORT)),
	};

	if (!at_random)
		advance();
	sent++;
	return v;
}

static __always_inline __u16 l4_check(const struct varying *v)
{
	__u32 sum = csum_add(csum_add(l4_sum, v->saddr), v->daddr);

	return csum_fold(csum_add(sum, (__u32)v->sport + v->dport));
}

static __always_inline void write_ip4(struct iphdr *ip, const struct varying *v)
{
	ip->saddr = v->saddr;
	ip->daddr = v->daddr;
	ip->check = csum_fold(csum_add(csum_add(ip_sum, v->saddr), v->daddr));
}

static __always_inline void write_ip6(struct ipv6hdr *ip, const struct varying *v)
{
	ip->saddr.in6_u.u6_addr32[3] = v->saddr;
	ip->daddr.in6_u.u6_addr32[3] = v->daddr;
}

static __always_inline void write_udp(struct udphdr *udp, const struct varying *v)
{
	__u16 check = l4_check(v);

	udp->source = v->sport;
	udp->dest = v->dport;
	udp->check = check ? check : 0xffff;
}

static __always_inline void write_syn(struct tcphdr *tcp, const struct varying *v)
{
	tcp->source = v->sport;
	tcp->dest = v->dport;
	tcp->check = l4_check(v);
}

static __always_inline void copy_template(void *frame, __u32 len)
{
	__u32 i;

	for (i = 0; i + 8 <= len; i += 8)
		*(__u64 *)(frame + i) = *(__u64 *)(template + i);
	for (; i + 2 <= len; i += 2)
		*(__u16 *)(frame + i) = *(__u16 *)(template + i);
}

/* Writes a frame of a constant length, with headers at constant offsets. */
static __always_inline int make(struct xdp_md *ctx, __u32 len, bool v6, bool syn)
{
	void *frame = (void *)(long)ctx->data;
	struct varying v;

	if (frame + len > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	copy_template(frame, len);
	v = next();
	if (v6)
		write_ip6(frame + IP_OFF, &v);
	else
		write_ip4(frame + IP_OFF, &v);
	if (syn)
		write_syn(frame + (v6 ? L4_OFF6 : L4_OFF4), &v);
	else
		write_udp(frame + (v6 ? L4_OFF6 : L4_OFF4), &v);
	return bpf_redirect(device, 0);
}

SEC("xdp")
int make_udp4(struct xdp_md *ctx)
{
	return make(ctx, UDP4_FRAME, false, false);
}

SEC("xdp")
int make_udp6(struct xdp_md *ctx)
{
	return make(ctx, UDP6_FRAME, true, false);
}

SEC("xdp")
int make_syn4(struct xdp_md *ctx)
{
	return make(ctx, SYN4_FRAME, false, true);
}

SEC("xdp")
int make_syn6(struct xdp_md *ctx)
{
	return make(ctx, SYN6_FRAME, true, true);
}

char _license[] SEC("license") = "Dual BSD/GPL";
