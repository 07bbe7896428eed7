// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What comes in by an uplink and leaves by one: a service's clients outside, on their way to a
 * backend outside, and the answers. Both its addresses are the host's business, so neither the
 * client nor the backend has to know a route to the other. No other flow from outside leads out
 * again. The flow was found, and the packet judged, before.
 */
#include "forward.h"
#include "park.h"

static __always_inline int relay(struct __sk_buff *ctx, bool v6)
{
	struct packet *p = the_packet();
	struct flow *f = p ? flow_find(v6, p, ZONE_WORLD) : NULL;
	struct macs macs;
	struct leg leg;

	if (!f || f->action != FLOW_FORWARD)
		return dropped(DROP_FLOW_EXPIRING);
	switch (find_leg(ctx, v6, p, f, &leg)) {
	case ROUTE_UPLINK:
		break;
	case ROUTE_NARROW:
		/* The stack, which could cut it in pieces, would take it for the host's own. */
		return reply_too_big(ctx, PROG_FROM_UPLINK, v6, f->mtu);
	default:
		return dropped(DROP_NO_ROUTE);
	}
	macs = macs_of(&leg);
	if (flow_rewrite(ctx, v6, p, f, &macs, true))
		return dropped(DROP_REWRITE_FAILED);
	return forward(ctx, &leg);
}

SEC("tc")
int relay4(struct __sk_buff *ctx)
{
	return leave_first(ctx, PROG_FROM_UPLINK, false, relay(ctx, false));
}

SEC("tc")
int relay6(struct __sk_buff *ctx)
{
	return leave_first(ctx, PROG_FROM_UPLINK, true, relay(ctx, true));
}
