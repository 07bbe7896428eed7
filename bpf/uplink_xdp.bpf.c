// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * XDP on an uplink, before the kernel makes an skb of a frame: what must not
 * come in is dropped, and packets of established UDP flows go straight into
 * their container. Everything else passes untouched; from_uplink sees it next
 * and judges alone, so nothing depends on this program being there.
 *
 * TCP passes: the stack merges its segments before from_uplink (GRO), which is
 * worth more than anything that could be saved here.
 */
#include "netfilter.h"

static __always_inline struct frame frame_of_xdp(struct xdp_md *ctx)
{
	return (struct frame){
		.data = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.len = bpf_xdp_get_buff_len(ctx),
	};
}

static __always_inline void count_frame(struct counter *c, const struct frame *frame)
{
	if (c)
		add(c, 1, frame->len - ETH_HLEN);
}

/* The sum that a UDP checksum begins with (RFC 768, RFC 8200 8.1). */
static __always_inline __u32 udp_pseudo_sum(bool v6, const struct packet *p,
					    const struct udphdr *udp)
{
	const __be32 zero[4] = {};
	__u32 sum = csum_addr_diff(v6, zero, p->saddr);

	sum = csum_add(sum, csum_addr_diff(v6, zero, p->daddr));
	return csum_add(sum, (__u32)bpf_htons(IPPROTO_UDP) + udp->len);
}

/*
 * Whether the checksum may be one that the sender left to its device
 * (CHECKSUM_PARTIAL): across a veth frames come like that, and XDP isn't told.
 * One complete checksum in 65,536 looks the same, and its packet takes the
 * slower way.
 */
static __always_inline bool may_be_partial(bool v6, const struct packet *p,
					   const struct udphdr *udp)
{
	return udp->check == (__u16)~csum_fold(udp_pseudo_sum(v6, p, udp));
}

/* VXLAN (also at the port of old Linux) and Geneve. */
static __always_inline bool is_tunnel_port(__be16 port)
{
	return port == bpf_htons(4789) || port == bpf_htons(8472) || port == bpf_htons(6081);
}

/*
 * Across a veth, the packet inside of a tunnel's may have its checksum left to
 * the device while that of the outer one is complete (local checksum offload).
 */
static __always_inline bool is_tunnel(const struct packet *p, const struct flow *f)
{
	return is_tunnel_port(p->dport) || is_tunnel_port(f->dport);
}

static __always_inline void rewrite_udp(struct udphdr *udp, const struct packet *p,
					const struct flow *f, __u32 addr_diff)
{
	udp->source = f->sport;
	udp->dest = f->dport;
	csum_in_place(&udp->check, IPPROTO_UDP, false, addr_diff, flow_port_diff(p, f));
}

/* Into the container whose flow it is; XDP_PASS if anything about it is unusual. */
static __always_inline int forward_frame(const struct frame *frame, bool v6, const struct packet *p,
					 struct flow *f)
{
	struct udphdr *udp = frame->data + (p->l4_off & MAX_L4_OFF);
	struct endpoint *ep = endpoint_at(f->endpoint);
	struct network *net = ep ? network_at(ep->network) : NULL;
	struct endpoint_counters *c;
	__u32 slot = f->endpoint, addr_diff;
	struct macs macs;

	if (!net || f->action != FLOW_DELIVER || p->ttl <= 1 || !flow_is_current(f) ||
	    !(ep->flags & ENDPOINT_TAKES_FRAMES) || frame->len > (__u32)net->mtu + ETH_HLEN)
		return XDP_PASS;
	if ((void *)(udp + 1) > frame->end || may_be_partial(v6, p, udp) || is_tunnel(p, f))
		return XDP_PASS;
	/* Not every kernel's veth takes frames in several pieces. */
	if (frame->end - frame->data != frame->len)
		return XDP_PASS;
	if (!flow_touch(f, FLOW_SEEN, p->proto) || (first_packet && !flow_is_settled(p, f)))
		return XDP_PASS;
	macs.dst = ep->mac;
	macs.src = net->gateway_mac;
	addr_diff = flow_addr_diff(v6, p, f);
	rewrite_udp(udp, p, f, addr_diff);
	if (rewrite_ip(frame->data, frame->end, v6, f, addr_diff, &macs, true))
		return dropped(DROP_REWRITE_FAILED);
	c = bpf_map_lookup_elem(&endpoint_stats, &slot);
	count_frame(c ? &c->receive : NULL, frame);
	return bpf_redirect(ep->ifindex, 0);
}

/* Whether nothing from outside can be meant for addresses of the network: they are hidden. */
static __always_inline bool is_hidden(bool v6, const struct network *net)
{
	return network_masquerades(net, v6) && !network_is_open(net, v6) &&
	       !network_is_routed(net, v6) && !(net->flags & (NETWORK_INTERNAL | NETWORK_TRUSTS));
}

/* What no flow asked for and no policy admits. DROP_NONE leaves the rest to from_uplink. */
static __always_inline enum drop_reason refuse(bool v6, const struct packet *p)
{
	enum drop_reason reason = guard_outside(v6, p);
	struct network *net;
	__u32 network;

	if (reason || has_no_source(v6, p))
		return reason ? reason : DROP_MARTIAN;
	network = network_of_addr(v6, p->daddr);
	if (network == MAX_NETWORKS || host_addr(v6, p->daddr))
		return DROP_NONE;
	net = network_at(network);
	return net && is_hidden(v6, net) ? DROP_DIRECT_ROUTING : DROP_NONE;
}

/*
 * Whether only from_uplink can tell what the packet is part of: it reads all
 * headers, puts fragments to their flows, and takes an error about a flow from
 * whichever router it comes. A flow is carried on, too, when a network was given
 * its peer's address since.
 */
static __always_inline bool is_for_from_uplink(const struct frame *frame, bool v6, struct packet *p)
{
	if (p->flags & PKT_FRAGMENT || (v6 && has_ip6_ext(p)))
		return true;
	if (p->proto == IPPROTO_UDP)
		return false;
	return parse_l4(frame, v6, p) || p->flags & PKT_ICMP_ERROR || flow_find(v6, p, ZONE_WORLD);
}

static __always_inline int uplink_xdp_ip(const struct frame *frame, bool v6, bool native)
{
	struct packet packet = {}, *p = &packet;
	enum drop_reason reason;
	struct flow *f = NULL;

	if (v6 ? parse_ip6(frame, p) : parse_ip4(frame, p))
		return XDP_PASS;
	if (p->proto == IPPROTO_UDP && !(p->flags & PKT_FRAGMENT)) {
		if (parse_l4(frame, v6, p))
			return XDP_PASS;
		f = flow_find(v6, p, ZONE_WORLD);
	}
	if (f)
		return native ? forward_frame(frame, v6, p, f) : XDP_PASS;
	reason = refuse(v6, p);
	if (!reason || is_for_from_uplink(frame, v6, p))
		return XDP_PASS;
	return dropped(reason);
}

static __always_inline int uplink_xdp_frame(struct xdp_md *ctx, const struct frame *frame,
					    bool native)
{
	struct device *dev = device_at(ctx->ingress_ifindex, DEVICE_UPLINK);
	struct ethhdr *eth = frame->data;

	if (!dev || (void *)(eth + 1) > frame->end)
		return XDP_PASS;
	/* Frames for other machines, and for everybody, are no business of ours. */
	if (!mac_equal(eth->h_dest, dev->mac))
		return XDP_PASS;
	switch (ether_type(eth)) {
	case bpf_htons(ETH_P_IP):
		return uplink_xdp_ip(frame, false, native);
	case bpf_htons(ETH_P_IPV6):
		return uplink_xdp_ip(frame, true, native);
	}
	return XDP_PASS;
}

static __always_inline enum verdict verdict_of_xdp(int action)
{
	if (action == XDP_DROP)
		return VERDICT_DROP;
	return action == XDP_REDIRECT ? VERDICT_REDIRECT : VERDICT_PASS;
}

/* As leave(), for frames. */
static __always_inline int leave_xdp(const struct frame *frame, int outcome)
{
	enum drop_reason reason = reason_of(outcome);
	int action = reason ? XDP_DROP : outcome;

	if (reason)
		count_frame(drop_counter(reason, direction_of(PROG_UPLINK_XDP)), frame);
	count_frame(verdict_counter(PROG_UPLINK_XDP, verdict_of_xdp(action)), frame);
	return action;
}

static __always_inline int uplink_xdp_run(struct xdp_md *ctx, bool native)
{
	struct frame frame = frame_of_xdp(ctx);

	return leave_xdp(&frame, uplink_xdp_frame(ctx, &frame, native));
}

SEC("xdp.frags")
int uplink_xdp(struct xdp_md *ctx)
{
	return uplink_xdp_run(ctx, true);
}

/*
 * In the stack's hook, after the skb was made. It guards only: forwarding gains
 * nothing there, and an skb with CHECKSUM_COMPLETE would go on with a wrong sum.
 * Without "frags", because for programs that take them the kernel copies the
 * skb and loses its mac_len (6.9 and later): no tc program finds the headers.
 */
SEC("xdp")
int uplink_xdp_generic(struct xdp_md *ctx)
{
	return uplink_xdp_run(ctx, false);
}
