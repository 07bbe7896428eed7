// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The last step of opening a connection: enters the planned flow, and carries the packet as
 * the flow says from then on.
 */
#include "open.h"
#include "park.h"

/* Whether the source that the plan gives its packets is an address of the host. */
static __always_inline bool has_host_source(const struct flow_plan *plan)
{
	return kind_takes_ports(plan->kind);
}

/* Whether packets of either direction leave by an uplink. */
static __always_inline bool plan_forwards(const struct flow_plan *plan)
{
	return plan->origin_action == FLOW_FORWARD || plan->reply_action == FLOW_FORWARD;
}

/* Enters the planned flow. DROP_NONE, or why not. */
static __always_inline enum drop_reason open_plan(struct __sk_buff *ctx, bool v6,
						  const struct packet *p, struct flow_plan *plan)
{
	enum drop_reason reason = port_claim(ctx, v6, p, plan, has_host_source(plan));

	if (!reason)
		reason = flow_complete(ctx, v6, p, plan);
	if (reason)
		count_refused(plan->reply_endpoint, reason);
	return reason;
}

/* Where another CPU was faster with the same flow, its entry counts. */
static __always_inline int enter(struct __sk_buff *ctx, bool v6, enum program program)
{
	struct packet *p = the_packet();
	struct flow_plan *plan = the_plan();
	enum drop_reason reason;
	struct flow *f;

	if (!p || !plan)
		return TC_ACT_SHOT;
	make_room(v6);
	if (plan_forwards(plan))
		plan->hop = nexthop_of(plan, family_of(v6));
	reason = open_plan(ctx, v6, p, plan);
	if (reason)
		return dropped(reason);
	f = flow_find(v6, p, plan->zone);
	if (!f)
		return dropped(DROP_NO_FLOW);
	if (program == PROG_TO_UPLINK)
		return translate(ctx, v6, p, f, plan->zone);
	return apply_any(ctx, v6, p, f, plan->zone, endpoint_at(f->endpoint));
}

/* At an uplink's egress the stack has put what it sends in order. */
static __always_inline int leave_entered(struct __sk_buff *ctx, enum program program, bool v6,
					 int outcome)
{
	if (program == PROG_TO_UPLINK)
		return leave(ctx, program, outcome);
	return leave_first(ctx, program, v6, outcome);
}

SEC("tc")
int enter4(struct __sk_buff *ctx)
{
	enum program program = whose();

	return leave_entered(ctx, program, false, enter(ctx, false, program));
}

SEC("tc")
int enter6(struct __sk_buff *ctx)
{
	enum program program = whose();

	return leave_entered(ctx, program, true, enter(ctx, true, program));
}
