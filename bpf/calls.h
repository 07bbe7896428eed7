/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs that go on where another one stops. The programs of devices do all that packets of
 * open connections need; what is rarer has programs of its own, for each address family, and
 * they go on with those by a tail call. The kernel verifies each alone, and what a program
 * costs it there grows faster than the program.
 *
 * A tail call doesn't come back: the program that goes on ends the packet's way (event.h).
 * What it needs to know is in the scratch, above all the packet as it was parsed. Only
 * programs go on, and no function of theirs that isn't inline: so the kernel's limit of 256
 * bytes of stack for who calls both ways doesn't concern them.
 *
 * The array is filled as the programs are loaded, and is theirs alone: those of another
 * version, or of an earlier start, have their own (loader/calls.go).
 */
#pragma once

#include "event.h"
#include "scratch.h"

/* IPv4's, with IPv6's next to it. */
enum call {
	CALL_CONTAINER_ODD = 0,   /* of a container: what isn't plain, or is for many */
	CALL_CONTAINER_NEW = 2,   /* of a container, and of no flow */
	CALL_UPLINK_ODD = 4,      /* from outside: what isn't plain */
	CALL_UPLINK_NEW = 6,      /* from outside, of no flow, and for a container perhaps */
	CALL_ENTER = 8,           /* enters the flow of the plan and does what it says */
	CALL_ERROR = 10,          /* an ICMP error, which may be about a flow */
	CALL_ANSWER = 12,         /* answers the packet with an ICMP error */
	CALL_PRIVATE_SOURCE = 14, /* about to leave an uplink with a container's address */
	CALL_LET_IN = 16,         /* first-packet mode: let in by netfilter */
	CALL_REFUSE = 18,         /* first-packet mode: an ICMP error of the host's own */
	CALL_PARK = 20,           /* a later fragment whose first one wasn't seen */
	CALL_UNPARK = 22,         /* a first fragment that others may wait for */
	CALL_RELAY = 24,          /* from outside, of a flow that leads out again */
	CALL_MAX = 26,
};

int container_odd4(struct __sk_buff *ctx);
int container_odd6(struct __sk_buff *ctx);
int container_new4(struct __sk_buff *ctx);
int container_new6(struct __sk_buff *ctx);
int uplink_odd4(struct __sk_buff *ctx);
int uplink_odd6(struct __sk_buff *ctx);
int uplink_new4(struct __sk_buff *ctx);
int uplink_new6(struct __sk_buff *ctx);
int enter4(struct __sk_buff *ctx);
int enter6(struct __sk_buff *ctx);
int error4(struct __sk_buff *ctx);
int error6(struct __sk_buff *ctx);
int answer4(struct __sk_buff *ctx);
int answer6(struct __sk_buff *ctx);
int private_source4(struct __sk_buff *ctx);
int private_source6(struct __sk_buff *ctx);
int let_in4(struct __sk_buff *ctx);
int let_in6(struct __sk_buff *ctx);
int refuse4(struct __sk_buff *ctx);
int refuse6(struct __sk_buff *ctx);
int park4(struct __sk_buff *ctx);
int park6(struct __sk_buff *ctx);
int unpark4(struct __sk_buff *ctx);
int unpark6(struct __sk_buff *ctx);
int relay4(struct __sk_buff *ctx);
int relay6(struct __sk_buff *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, CALL_MAX);
	__type(key, __u32);
	__array(values, int(struct __sk_buff *));
} calls SEC(".maps") = {
	.values = {
		[CALL_CONTAINER_ODD] = container_odd4, container_odd6,
		[CALL_CONTAINER_NEW] = container_new4, container_new6,
		[CALL_UPLINK_ODD] = uplink_odd4,       uplink_odd6,
		[CALL_UPLINK_NEW] = uplink_new4,       uplink_new6,
		[CALL_ENTER] = enter4,                 enter6,
		[CALL_ERROR] = error4,                 error6,
		[CALL_ANSWER] = answer4,               answer6,
		[CALL_PRIVATE_SOURCE] = private_source4, private_source6,
		[CALL_LET_IN] = let_in4,               let_in6,
		[CALL_REFUSE] = refuse4,               refuse6,
		[CALL_PARK] = park4,                   park6,
		[CALL_UNPARK] = unpark4,               unpark6,
		[CALL_RELAY] = relay4,                 relay6,
	},
};

/*
 * Goes on with another program. What follows the tail call runs only if the program isn't
 * there, which nothing but damage to the array brings about: the packet is dropped, since
 * nothing has judged it.
 */
static __always_inline int go_on(struct __sk_buff *ctx, bool v6, enum call call)
{
	bpf_tail_call_static(ctx, &calls, call + v6);
	return dropped(DROP_INCOMPLETE);
}

/* The same with one that several programs go on with: it has to know whose verdict it gives. */
static __always_inline int go_on_as(struct __sk_buff *ctx, enum program program, bool v6,
				    enum call call)
{
	struct scratch *s = scratch();

	if (s)
		s->program = program;
	return go_on(ctx, v6, call);
}

/* Where the packet came in that a program goes on with. */
static __always_inline enum program whose(void)
{
	struct scratch *s = scratch();

	return s ? s->program : PROG_FROM_UPLINK;
}
