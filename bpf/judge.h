/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packets from outside that no flow is meant by: refused, the host's own, or for a container. */
#pragma once

#include "calls.h"
#include "held.h"
#include "publish.h"

/* Whether the packet may be meant by a published port: a look that spares the host's own the rest. */
static __always_inline bool may_be_published(bool v6, const struct packet *p)
{
	if (p->flags & (PKT_NO_PORTS | PKT_LATER_FRAGMENT) &&
	    !(first_packet && p->flags & PKT_RESOLVED))
		return false;
	/* No container could answer; nor does Docker. */
	if (!may_be_forwarded(v6, p->saddr))
		return false;
	return port_is_published(p->proto, p->dport) && host_addr(v6, p->daddr);
}

/* What is for a container perhaps another program goes on with; the rest is the stack's. */
static __always_inline int judge(struct __sk_buff *ctx, bool v6, const struct packet *p)
{
	struct inside *to = new_inside();
	enum drop_reason reason;

	if (!to || has_no_source(v6, p))
		return dropped(DROP_MARTIAN);
	reason = guard_outside(v6, p);
	if (reason)
		return dropped(reason);
	to->network = network_of_addr(v6, p->daddr);
	if (to->network != MAX_NETWORKS && host_addr(v6, p->daddr))
		to->network = MAX_NETWORKS;
	if (to->network != MAX_NETWORKS && !may_be_forwarded(v6, p->saddr))
		return dropped(DROP_MARTIAN);
	if (to->network != MAX_NETWORKS || may_be_published(v6, p))
		return go_on(ctx, v6, CALL_UPLINK_NEW);
	host_hears(v6, p);
	return NEXT;
}
