// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* ICMP errors: those that came, and those that answer a packet. */
#include "icmp.h"
#include "judge.h"

/* What is about no flow of ours goes the way of any other packet. */
static __always_inline int error(struct __sk_buff *ctx, bool v6, enum program program)
{
	struct packet *p = the_packet();
	__u32 slot = 0, zone = ZONE_WORLD;
	int action;

	if (!p)
		return TC_ACT_SHOT;
	if (program == PROG_FROM_CONTAINER) {
		struct endpoint *ep = endpoint_of_device(ctx->ifindex, &slot);

		if (!ep)
			return dropped(DROP_UNMANAGED);
		zone = ep->network;
	}
	action = translate_error(ctx, v6, p, zone);
	if (action != NEXT)
		return action;
	return program == PROG_FROM_UPLINK ? judge(ctx, v6, p) : go_on(ctx, v6, CALL_CONTAINER_NEW);
}

SEC("tc")
int error4(struct __sk_buff *ctx)
{
	enum program program = whose();

	return leave(ctx, program, error(ctx, false, program));
}

SEC("tc")
int error6(struct __sk_buff *ctx)
{
	enum program program = whose();

	return leave(ctx, program, error(ctx, true, program));
}

SEC("tc")
int answer4(struct __sk_buff *ctx)
{
	return leave(ctx, whose(), answer(ctx, false));
}

SEC("tc")
int answer6(struct __sk_buff *ctx)
{
	return leave(ctx, whose(), answer(ctx, true));
}
