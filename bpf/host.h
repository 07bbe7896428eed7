/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The host's own sockets, where they meet flows that borrow the host's addresses. */
#pragma once

#include "open.h"

/* Whether the packet may be the first of something that a socket of the host began. */
static __always_inline bool host_may_begin(bool v6, const struct packet *p)
{
	if (p->flags & PKT_LATER_FRAGMENT)
		return false;
	return p->proto == IPPROTO_UDP || (p->proto == IPPROTO_TCP && begins_connection(p)) ||
	       (p->proto == icmp_proto(v6) && p->flags & PKT_ECHO_REQUEST);
}

/*
 * A socket of the host that uses the tuple of a translated flow: the replies,
 * which come in that zone, would go to the container. The host's traffic is the older right; a container
 * could else listen in by holding the ports towards a server. Its flow is
 * forgotten and gets another port with its next packet, since the host's is
 * bound. Only a TCP connection that is established stands.
 */
static __always_inline int host_begins(const struct __sk_buff *ctx, bool v6, struct packet *p,
				       __u16 zone)
{
	struct flow *f, *twin;
	enum host_use use;

	if (!is_told_by_use(v6, p->proto) && !host_may_begin(v6, p))
		return NEXT;
	reverse(v6, p);
	if (is_told_by_use(v6, p->proto)) {
		use = host_use_of(ctx, p);
		if (use != HOST_REFUSES && v6)
			host_uses6(p, zone, use == HOST_ANSWERS);
		else if (use != HOST_REFUSES)
			host_uses4(p, zone, use == HOST_ANSWERS);
		return NEXT;
	}
	f = flow_find(v6, p, zone);
	if (!f || f->flags & FLOW_ORIGIN)
		return NEXT;
	twin = flow_twin(v6, f, p);
	if (p->proto == IPPROTO_TCP && twin && tcp_is_established(f, twin) &&
	    !tcp_is_closed(f, twin))
		return dropped(DROP_HOST_PORT_IN_USE);
	flow_forget(v6, p, zone);
	return NEXT;
}
