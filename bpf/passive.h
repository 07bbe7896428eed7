/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Backends judged by how they answer, with the daemon dead too (POOL_PASSIVE). One that refuses
 * clients is passed over by new flows for some seconds. Then it gets its share again, and the
 * first that it refuses has it passed over for twice as long. One that it accepts makes all good.
 *
 * Nobody shall switch a backend off for others. What counts is a RST that a container sends
 * itself, which has its own addresses by the guards, to a SYN that it got. From outside a RST says
 * nothing, since whoever sent the SYN can make it up; nor does silence, since there are SYNs that
 * every backend has to ignore, or never gets; nor a RST with options, which is Multipath TCP's
 * to who joins a connection that isn't there. A client that the backend refused three times, and
 * nobody was accepted in between, passes it over alone; all do when a third client was refused,
 * but for the last that was accepted: so a port that is for one client only goes on to serve it.
 *
 * Silence leads its own client elsewhere: a SYN that is sent again begins anew, with another
 * backend, drawn so that each comes to be asked.
 *
 * Nothing is kept of a flow but its backend's name, in the entry of the replies. It has the place
 * of a number, which is there from the first reply on (plan.h). Established flows have nothing of
 * all this. What a backend did is one word, changed at once or not: two CPUs at once lose a count.
 */
#pragma once

#include "flow.h"
#include "pool.h"
#include "scratch.h"

#define PASSIVE_FIRST 5 /* seconds; PASSIVE_LONGEST at last */

#define PASSIVE_FAILURES 3

/*
 * What a choice has to do with how backends answered: the index of one that isn't wanted, and
 * above that these, and the client.
 */
#define PASSIVE_INDEX 0xffffULL
#define PASSIVE_LOOKS (1ULL << 16)  /* passes over who fails */
#define PASSIVE_UNSEEN (1ULL << 17) /* for longer: whether it is refused nobody will see */
#define PASSIVE_CLIENT_SHIFT 32

union noted {
	struct notes is;
	__u64 word;
};

static __always_inline union noted notes_of(const struct backend *b)
{
	return (union noted){ .word = *(const volatile __u64 *)&b->notes };
}

/* What tells clients apart; 0 is nobody. Who has one IPv6 address has a whole /64 of them. */
static __always_inline __u16 passive_client(bool v6, const __be32 *addr)
{
	__u32 hash = mix(0, addr[0]);

	if (v6)
		hash = mix(hash, addr[1]);
	hash = (hash ^ hash >> 16) & 0xffff;
	return hash ? hash : 1;
}

static __always_inline __u64 passive_look(bool v6, const __be32 *addr)
{
	return PASSIVE_LOOKS | (__u64)passive_client(v6, addr) << PASSIVE_CLIENT_SHIFT;
}

static __always_inline __u32 failures_of(const struct notes *n, int i)
{
	return n->failures >> 2 * i & 3;
}

/* Whether the backend is to be passed over by the client's new flows, while that lasts. */
static __always_inline bool fails_client(const struct notes *n, __u16 client)
{
	if (n->failures & NOTES_ALL)
		return !client || n->served != client;
	return (n->clients[0] == client && failures_of(n, 0) >= PASSIVE_FAILURES) ||
	       (n->clients[1] == client && failures_of(n, 1) >= PASSIVE_FAILURES);
}

/* Whether there is time left, of so much at most. An end long ago doesn't look like one to come. */
static __always_inline bool passive_lasts(__u32 until, __u32 most)
{
	return until - (__u32)bpf_jiffies64() - 1 < most * touch_jiffies;
}

/* Whether the backend has failed who looks, lately or not. */
static __always_inline bool is_suspect(const struct backend *b, __u64 look)
{
	union noted n = notes_of(b);

	return look & PASSIVE_LOOKS && n.is.period &&
	       fails_client(&n.is, look >> PASSIVE_CLIENT_SHIFT);
}

/*
 * Whether who looks passes the backend over. Those whose answers nobody sees leave it to others
 * for a minute to find out whether it has come back.
 */
static __always_inline bool passes_over(const struct backend *b, __u64 look)
{
	if (!is_suspect(b, look))
		return false;
	if (look & PASSIVE_UNSEEN)
		return passive_lasts(b->until + PASSIVE_LONGEST * touch_jiffies,
				     2 * PASSIVE_LONGEST);
	return passive_lasts(b->until, PASSIVE_LONGEST);
}

/* Notes one more failure. Whether that makes it one of those that the client, or all, pass over. */
static __always_inline bool note_failure(struct notes *n, __u16 client)
{
	__u32 i = n->clients[0] == client || !failures_of(n, 0) ? 0 : 1;

	if (i && n->clients[1] != client && failures_of(n, 1)) {
		n->failures |= NOTES_ALL;
		return true;
	}
	n->clients[i] = client;
	n->failures += 1 << 2 * i;
	return failures_of(n, i) >= PASSIVE_FAILURES;
}

/* The backend has refused the client. */
static __always_inline void backend_failed(struct pool *pool, struct backend *b, __u16 client)
{
	union noted was = notes_of(b), now = was;
	bool begins = false, again = false;
	__u32 period = PASSIVE_FIRST;

	if (was.is.served == client)
		now.is.served = 0;
	if (fails_client(&was.is, client)) {
		again = !passive_lasts(b->until, PASSIVE_LONGEST);
		period = was.is.period * 2;
	} else if (!(was.is.failures & NOTES_ALL)) {
		begins = note_failure(&now.is, client);
	}
	if (begins || again) {
		now.is.period = period < PASSIVE_LONGEST ? period : PASSIVE_LONGEST;
		b->until = (__u32)bpf_jiffies64() + now.is.period * touch_jiffies;
	}
	if (__sync_val_compare_and_swap((__u64 *)&b->notes, was.word, now.word) != was.word)
		return;
	if (begins && (!was.is.period || now.is.failures & NOTES_ALL))
		__sync_fetch_and_add(&pool->passed_over, 1);
}

/* The backend has accepted the client. */
static __always_inline void backend_works(struct backend *b, __u16 client)
{
	union noted now = { .is.served = client };

	if (notes_of(b).word != now.word)
		*(volatile __u64 *)&b->notes = now.word;
}

/* Whether so many bytes may have come with a SYN. Who sends it again leaves them out. */
static __always_inline bool is_data_of_syn(__u32 bytes)
{
	return bytes < 1 << 16;
}

/* Whether a SYN or RST answers the origin's SYN. Only the former may leave its data out. */
static __always_inline bool answers_syn(const struct packet *p, const struct flow *origin)
{
	__u32 left = origin->tcp_end - p->tcp_ack;

	if (!(p->tcp_flags & TCP_ACK))
		return false;
	if (p->tcp_flags & TCP_RST)
		return !left && p->l4_len == sizeof(struct tcphdr);
	return is_data_of_syn(left);
}

/* Whether the packet comes from the backend, whose name another one may have by now. */
static __always_inline bool is_from(bool v6, const struct packet *p, const struct backend *b)
{
	__be32 addr[4], words[4];

	addr_map(v6, (__u8 *)addr, p->saddr);
	__builtin_memcpy(words, b->at.addr, 16);
	return p->sport == b->at.port && addr6_equal(addr, words);
}

/*
 * The first reply of a container to a service's flow, SYN or RST: f is its entry, and nothing of
 * it is written yet. Not inline, for the size of programs.
 */
static __always_inline int learn(bool v6, const struct packet *p, const struct flow *f)
{
	const struct flow *origin = flow_twin(v6, f, p);
	__u32 name = f->tcp_ack;
	__u16 client = passive_client(v6, flow_daddr(v6, f));
	struct pool *pool = pool_at(slot_of_name(name));
	struct backend *b = backend_at(slot_of_name(name), index_of_name(name));

	if (!origin || !pool || !b || !(pool->flags & POOL_PASSIVE))
		return 0;
	if (b->at.flags & PUBLISHED_OUTSIDE || !is_from(v6, p, b) || !answers_syn(p, origin))
		return 0;
	if (p->tcp_flags & TCP_RST)
		backend_failed(pool, b, client);
	else
		backend_works(b, client);
	return 0;
}

__noinline int learn4(const struct packet *p, const struct flow4 *f)
{
	return p && f ? learn(false, p, &f->flow) : 0;
}

__noinline int learn6(const struct packet *p, const struct flow6 *f)
{
	return p && f ? learn(true, p, &f->flow) : 0;
}

/* Whether the entry is of a service's replies, none of which has come. */
static __always_inline bool awaits_reply(const struct flow *f)
{
	return !f->state && f->tcp_ack;
}

static __always_inline void flow_learn(bool v6, const struct packet *p, const struct flow *f)
{
	if (v6)
		learn6(p, (const struct flow6 *)f);
	else
		learn4(p, (const struct flow4 *)f);
}

/*
 * Whether a SYN is that of its entry once more, which the backend has had time for. The flow's
 * time is that of its beginning still: it is renewed once a second.
 */
static __always_inline bool is_unanswered(const struct packet *p, const struct flow *f,
					  const struct flow *twin)
{
	return f->flags & FLOW_ORIGIN && awaits_reply(twin) &&
	       is_data_of_syn(f->tcp_end - p->tcp_seq - 1) &&
	       flow_now() - f->last_seen >= touch_jiffies / 2;
}

/* Has the packet's next choice know which backend left it unanswered. */
static __always_inline void leave_backend(const struct flow *reply)
{
	struct scratch *s = scratch();

	if (!s)
		return;
	s->left = reply->tcp_ack;
	s->packet.again = true;
}

/* The backend that left the packet unanswered; 0 if none did. */
static __always_inline __u32 backend_left(const struct packet *p)
{
	struct scratch *s = scratch();

	return s && p->again ? s->left : 0;
}
