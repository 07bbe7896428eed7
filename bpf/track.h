/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connection tracking: what a packet tells of its connection, and which packets
 * to believe. Timeouts are the collector's; here only facts are noted.
 */
#pragma once

#include "flow.h"
#include "passive.h"

/* Sequence number after the packet's last byte. */
static __always_inline __u32 tcp_end(const struct __sk_buff *ctx, const struct packet *p)
{
	__u32 len = p->l3_len && !ctx->gso_size ? p->l3_len + ETH_HLEN : ctx->len;
	__u32 end = p->tcp_seq + len - p->l4_off - p->l4_len;

	return end + !!(p->tcp_flags & TCP_SYN) + !!(p->tcp_flags & TCP_FIN);
}

static __always_inline bool tcp_is_established(const struct flow *f, const struct flow *twin)
{
	return f->state & FLOW_ACK && twin->state & FLOW_ACK;
}

static __always_inline bool tcp_is_closed(const struct flow *f, const struct flow *twin)
{
	return (f->state | twin->state) & FLOW_RST || f->state & twin->state & FLOW_FIN;
}

/*
 * How far a packet's numbers may lie from those of the packet before it: more
 * than a burst, little enough that a blind sender hits neither the sequence nor
 * the acknowledgement number (1 in 2048 each, and both are needed).
 */
#define TCP_SLACK (1u << 20)

/* Largest window that RFC 7323 allows a sender to have filled is 2^30; this is ample. */
#define TCP_WINDOW (1u << 24)

static __always_inline bool tcp_near(__u32 a, __u32 b)
{
	return a - b + TCP_SLACK < 2 * TCP_SLACK;
}

/*
 * Whether the numbers of a packet are to be believed. What a container sends is
 * its own, by the guards. From outside anybody may claim to be the peer, so
 * there a packet has to continue what the direction has shown so far.
 */
static __always_inline bool tcp_continues(const struct packet *p, const struct flow *f, __u16 zone)
{
	if (zone != ZONE_WORLD || !(f->state & (FLOW_SYN | FLOW_ACK)))
		return true;
	return tcp_near(p->tcp_seq, f->tcp_end) &&
	       (!(f->state & FLOW_ACK) || tcp_near(p->tcp_ack, f->tcp_ack));
}

/* A FIN after such losses that the direction's own numbers are out of date. */
static __always_inline bool tcp_fin_fits(const struct packet *p, const struct flow *twin)
{
	return p->tcp_seq - twin->tcp_ack < TCP_WINDOW && twin->tcp_end - p->tcp_ack < TCP_WINDOW;
}

/*
 * Who may end a connection by RST: before it is established anyone; after that
 * only the exact sequence number that the peer expects, or that follows what
 * the sender sent last (RFC 5961, section 3.2, as nf_conntrack has it). Any
 * other RST is passed on for the endpoint to judge, and shortens nothing.
 */
static __always_inline bool tcp_rst_is_genuine(const struct packet *p, const struct flow *f,
					       const struct flow *twin)
{
	return !tcp_is_established(f, twin) || p->tcp_seq == twin->tcp_ack ||
	       p->tcp_seq == f->tcp_end;
}

enum flow_fate {
	FLOW_FOUND,
	FLOW_MISSING,    /* there is none */
	FLOW_SUPERSEDED, /* it is over, or this packet begins another one */
	FLOW_LOST,       /* condemned this very moment */
};

/* SYN, RST and a FIN in doubt, which need the other direction's view. */
static __always_inline enum flow_fate track_tcp_event(const struct packet *p, struct flow *f,
						      const struct flow *twin)
{
	if (!twin)
		return FLOW_SUPERSEDED;
	if (p->tcp_flags & TCP_RST) {
		if (tcp_rst_is_genuine(p, f, twin))
			__sync_fetch_and_or(&f->state, FLOW_RST);
		return FLOW_FOUND;
	}
	if (p->tcp_flags & TCP_FIN) {
		if (tcp_fin_fits(p, twin))
			__sync_fetch_and_or(&f->state, FLOW_FIN);
		return FLOW_FOUND;
	}
	if (p->tcp_flags & TCP_ACK)
		return FLOW_FOUND;
	/* A SYN recycles what is closed (RFC 6056 port reuse, RFC 1122 4.2.2.13). */
	if (tcp_is_closed(f, twin))
		return FLOW_SUPERSEDED;
	if (!is_unanswered(p, f, twin))
		return FLOW_FOUND;
	leave_backend(twin);
	return FLOW_SUPERSEDED;
}

__noinline int track_tcp_event4(const struct packet *p, struct flow4 *f)
{
	return p && f ? track_tcp_event(p, &f->flow, flow_twin(false, &f->flow, p)) :
			FLOW_SUPERSEDED;
}

__noinline int track_tcp_event6(const struct packet *p, struct flow6 *f)
{
	return p && f ? track_tcp_event(p, &f->flow, flow_twin(true, &f->flow, p)) :
			FLOW_SUPERSEDED;
}

static __always_inline enum flow_fate flow_track_tcp_event(bool v6, const struct packet *p,
							   struct flow *f)
{
	return v6 ? track_tcp_event6(p, (struct flow6 *)f) : track_tcp_event4(p, (struct flow4 *)f);
}

/* The bits that a segment adds, its numbers taken down. */
static __always_inline __u32 flow_track_tcp(struct __sk_buff *ctx, bool v6, const struct packet *p,
					    struct flow *f, __u16 zone)
{
	__u32 bits = 0;

	if (p->tcp_flags & (TCP_SYN | TCP_RST) && zone != ZONE_WORLD && awaits_reply(f))
		flow_learn(v6, p, f);
	if (p->tcp_flags & TCP_RST || !tcp_continues(p, f, zone))
		return 0;
	if (p->tcp_flags & TCP_SYN)
		bits |= FLOW_SYN;
	if (p->tcp_flags & TCP_FIN)
		bits |= FLOW_FIN;
	if (p->tcp_flags & TCP_ACK) {
		bits |= FLOW_ACK;
		f->tcp_ack = p->tcp_ack;
		f->tcp_end = tcp_end(ctx, p);
	}
	return bits;
}

/*
 * Brings the entry up to date with a packet of its direction. FLOW_SUPERSEDED
 * means that the caller shall forget the entry and treat the packet as new. Else ep is the
 * entry's endpoint.
 */
static __always_inline enum flow_fate flow_track(struct __sk_buff *ctx, bool v6,
						 const struct packet *p, struct flow *f, __u16 zone,
						 struct endpoint **ep)
{
	__u32 bits = FLOW_SEEN;

	*ep = flow_endpoint(f);
	if (!*ep)
		return FLOW_SUPERSEDED;
	if (p->proto == IPPROTO_TCP && !(p->flags & PKT_LATER_FRAGMENT)) {
		__u32 tcp_bits = flow_track_tcp(ctx, v6, p, f, zone);

		if (p->tcp_flags & (TCP_SYN | TCP_RST) ||
		    (p->tcp_flags & TCP_FIN && !(tcp_bits & FLOW_FIN))) {
			enum flow_fate fate = flow_track_tcp_event(v6, p, f);

			if (fate != FLOW_FOUND)
				return fate;
		}
		bits |= tcp_bits;
	}
	return flow_touch(f, bits, p->proto) ? FLOW_FOUND : FLOW_LOST;
}
