/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the host holds of protocols whose sockets no program can look up: SCTP, and all
 * that have no ports, such as GRE, ESP and OSPF.
 *
 * A masqueraded flow of them borrows the host's address and has no port of its own to be
 * told by: who has the tuple gets all that the remote sends. So the host has the older
 * right, always. It holds a tuple that it has sent with, for as long as
 * netfilter remembers such a connection; a whole protocol that it sends to many, as
 * routing daemons do; and one that somebody on it listens for, as the daemon tells. What
 * it only heard it holds for as long as the daemon may take to find who listens: anybody
 * can send, and the remote of a container's tunnel goes on when the tunnel was
 * interrupted. No flow may take what the host holds, and one that has it is forgotten.
 */
#pragma once

#include "plan.h"

/* Netfilter's timeout for protocols that it doesn't know. */
#define HELD_SECONDS 600

/*
 * How long the host holds what it only heard, from the first packet on: further ones don't
 * renew it before it is as old as a connection that netfilter forgets. The daemon looks
 * every 2 seconds for who listens (listenersInterval); the rest is slack.
 */
#define HEARD_SECONDS 10

/* TCP's and UDP's sockets can be looked up, and of ICMP only echo is ever translated. */
static __always_inline bool is_told_by_use(bool v6, __u8 proto)
{
	return proto != IPPROTO_TCP && proto != IPPROTO_UDP && proto != icmp_proto(v6);
}

/* Index in host_protocols and host_listeners. */
static __always_inline __u32 protocol_index(bool v6, __u8 proto)
{
	return v6 * PROTOCOLS + proto;
}

static __always_inline bool is_recent(__u32 *used, __u32 seconds)
{
	__u32 age;

	if (!used || !*used)
		return false;
	age = flow_now() - *used;
	/* Jiffies come round: what is over must not begin again. */
	if (age > 1u << 30)
		*used = 0;
	return age < seconds * touch_jiffies;
}

/* The tuple of p, a packet to the host, in the scratch's key. */
static __always_inline struct flow6_key *held_key(bool v6, const struct packet *p, __u16 zone)
{
	struct flow6_key *key = new_key();

	if (!key)
		return NULL;
	__builtin_memset(key, 0, sizeof(*key));
	if (v6)
		flow6_key_of(key, p, zone);
	else
		flow4_key_of((struct flow4_key *)key, p, zone);
	/* Tells the families apart; of echo the host holds nothing. */
	key->echo = 1 + v6;
	return key;
}

/* The same of the replies to the planned flow. */
static __always_inline struct flow6_key *held_reply_key(bool v6, const struct packet *p,
							const struct flow_plan *plan)
{
	struct flow6_key *key = new_key();

	if (!key)
		return NULL;
	__builtin_memset(key, 0, sizeof(*key));
	if (v6)
		flow6_reply_key(key, p, plan);
	else
		flow4_reply_key((struct flow4_key *)key, p, plan);
	key->echo = 1 + v6;
	return key;
}

/*
 * When the host first heard a tuple stands at a place that a hash of it finds: a stranger
 * can't push anything out, to have the next packet count as the first one again. Of tuples
 * that fall together the later one isn't held.
 */
static __always_inline struct heard *heard_at(const struct flow6_key *key, __u32 *hash)
{
	struct share *share = the_share();
	const __u32 *words = (const __u32 *)key;
	__u32 place;
	unsigned int i;

	*hash = share ? share->seed : 0;
#pragma clang loop unroll(full)
	for (i = 0; i < sizeof(*key) / sizeof(*words); i++)
		*hash = mix(*hash, words[i]);
	place = *hash & (HEARD_PLACES - 1);
	return bpf_map_lookup_elem(&heard_tuples, &place);
}

/* Whether the host just heard the tuple of the scratch's key for the first time. */
__noinline int host_heard(void)
{
	struct flow6_key *key = new_key();
	__u32 hash = 0;
	struct heard *heard = key ? heard_at(key, &hash) : NULL;

	return heard && heard->hash == hash && is_recent(&heard->first, HEARD_SECONDS);
}

/*
 * Whether the host holds the tuple of the scratch's key by what it sent, or all of the
 * protocol, an index in host_protocols. Linux 6.1 takes no argument of a function for a
 * map's key.
 */
__noinline int host_holds(__u32 protocol)
{
	__u32 *listeners = bpf_map_lookup_elem(&host_listeners, &protocol);
	struct flow6_key *key = new_key();

	if (!key)
		return false;
	if ((listeners && *listeners) ||
	    is_recent(bpf_map_lookup_elem(&host_protocols, &protocol), HELD_SECONDS))
		return true;
	return is_recent(bpf_map_lookup_elem(&host_tuples, key), HELD_SECONDS) ||
	       is_recent(bpf_map_lookup_elem(&answer_tuples, key), HELD_SECONDS);
}

/* Whether the host holds, or just heard, what the planned flow's replies would look like. */
static __always_inline bool host_holds_replies(bool v6, const struct packet *p,
					       const struct flow_plan *plan)
{
	return is_told_by_use(v6, p->proto) && held_reply_key(v6, p, plan) &&
	       (host_holds(protocol_index(v6, p->proto)) || host_heard());
}

/*
 * From now on the host holds the tuple of the scratch's key. Those towards containers, and
 * of answers, lie apart: a container, or a stranger, can make the host answer from as many
 * ports as there are.
 */
__noinline int host_hold(__u32 apart)
{
	struct flow6_key *key = new_key();
	__u32 now = flow_now(), *used;

	if (!key)
		return 0;
	/* What it began itself stays where nobody pushes it out. */
	used = bpf_map_lookup_elem(&host_tuples, key);
	if (!used && apart)
		used = bpf_map_lookup_elem(&answer_tuples, key);
	if (!used && apart)
		bpf_map_update_elem(&answer_tuples, key, &now, BPF_ANY);
	else if (!used)
		bpf_map_update_elem(&host_tuples, key, &now, BPF_ANY);
	else if (!*used || now - *used >= touch_jiffies)
		*used = now;
	return 0;
}

/* The host heard the tuple of the scratch's key. */
static __always_inline void host_hear(void)
{
	struct flow6_key *key = new_key();
	__u32 now = flow_now(), hash = 0;
	struct heard *heard = key ? heard_at(key, &hash) : NULL;

	if (heard && (!heard->first || now - heard->first >= HELD_SECONDS * touch_jiffies)) {
		heard->hash = hash;
		heard->first = now;
	}
}

/* From now on the host holds the protocol. */
static __always_inline void host_hold_protocol(bool v6, __u8 proto)
{
	__u32 index = protocol_index(v6, proto), now = flow_now();
	__u32 *used = bpf_map_lookup_elem(&host_protocols, &index);

	if (used && (!*used || now - *used >= touch_jiffies))
		*used = now;
}

/* Forgets the flow whose replies look like p, a packet to the host, if it borrows an address. */
static __always_inline void forget_borrower(bool v6, const struct packet *p, __u16 zone)
{
	struct flow *f = flow_find(v6, p, zone);

	if (f && flow_borrows(f))
		flow_forget(v6, p, zone);
}

#define SCTP_HEAD_LEN 12
#define SCTP_INIT 1
#define SCTP_ABORT 6
#define SCTP_SHUTDOWN_COMPLETE 14

/* What a packet of the host's own says of the host's use for its tuple. */
enum host_use {
	HOST_BEGINS,
	HOST_ANSWERS, /* perhaps a stranger */
	HOST_REFUSES, /* has none, or no more */
};

/*
 * An association begins with INIT, all else the stack sends to whoever spoke to it. Where
 * nobody listens that is an ABORT, and for what is over SHUTDOWN COMPLETE: neither says that
 * the host is at the tuple, and strangers and remotes of containers make it send them. Other
 * protocols than SCTP it doesn't answer.
 */
static __always_inline enum host_use host_use_of(const struct __sk_buff *ctx,
						 const struct packet *p)
{
	__u8 chunk;

	if (p->proto != IPPROTO_SCTP)
		return HOST_BEGINS;
	if (bpf_skb_load_bytes(ctx, (p->l4_off & MAX_L4_OFF) + SCTP_HEAD_LEN, &chunk, 1))
		return HOST_ANSWERS;
	if (chunk == SCTP_ABORT || chunk == SCTP_SHUTDOWN_COMPLETE)
		return HOST_REFUSES;
	return chunk == SCTP_INIT ? HOST_BEGINS : HOST_ANSWERS;
}

/*
 * A packet of the host's own, p reversed, that uses the tuple. Later fragments of SCTP have no ports to tell
 * what they belong to; the first one has told.
 */
static __always_inline int host_uses(bool v6, const struct packet *p, __u16 zone, bool answers)
{
	if (p->proto == IPPROTO_SCTP && p->flags & PKT_LATER_FRAGMENT)
		return 0;
	if (addr_is_multicast(v6, p->saddr)) {
		host_hold_protocol(v6, p->proto);
		return 0;
	}
	if (held_key(v6, p, zone))
		host_hold(zone != ZONE_WORLD || answers);
	forget_borrower(v6, p, zone);
	return 0;
}

__noinline int host_uses4(const struct packet *p, __u32 zone, bool answers)
{
	return p ? host_uses(false, p, zone, answers) : 0;
}

__noinline int host_uses6(const struct packet *p, __u32 zone, bool answers)
{
	return p ? host_uses(true, p, zone, answers) : 0;
}

/* A packet from outside that no flow took, to an address of the host. */
static __always_inline void host_hears(bool v6, const struct packet *p)
{
	if (!is_told_by_use(v6, p->proto) || p->flags & PKT_LATER_FRAGMENT ||
	    !host_addr(v6, p->daddr))
		return;
	if (held_key(v6, p, ZONE_WORLD))
		host_hear();
}

/*
 * Takes back what the host holds, before a packet from outside is looked up. What it only
 * heard ends nothing: since the flow was opened it has taken all that is heard of its tuple.
 */
static __always_inline int host_reclaims(bool v6, const struct packet *p)
{
	if (held_key(v6, p, ZONE_WORLD) && host_holds(protocol_index(v6, p->proto)))
		forget_borrower(v6, p, ZONE_WORLD);
	return 0;
}

__noinline int host_reclaims4(const struct packet *p)
{
	return p ? host_reclaims(false, p) : 0;
}

__noinline int host_reclaims6(const struct packet *p)
{
	return p ? host_reclaims(true, p) : 0;
}
