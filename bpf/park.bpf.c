// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Later fragments that come before their first one are parked: copied, and sent in again by
 * their device as soon as the first one has told the ports. Each then goes the way of any
 * other fragment, all guards included.
 *
 * Room is bounded, and divided by who takes it. A sender's fragments go to one of a few rows,
 * round and round; who parks many within a second has the rest in a row that such senders
 * share. So it takes several who share a row, one who parks in bursts or long frames, or one
 * outside who claims the addresses of many, to overwrite what another one has just parked.
 * Containers and outside have rows of their own.
 *
 * A fragment that is overwritten, or whose first one comes too late, counts as dropped then.
 * Frames longer than PARK_LARGE_FRAME don't wait.
 *
 * Two CPUs may have the pieces of one datagram at the same time. Who parks looks for the
 * ports once more afterwards, and who notes ports looks for what is parked afterwards, with
 * a barrier in between on both sides; so at least one of them finds the other's. Who takes
 * a place's mark away has what is in it.
 */
#include "open.h"
#include "park.h"

/* Pieces in a second that a sender may park in its row: more than a datagram of 64 KiB has. */
#define PARK_BURST 48

/* The zone of a packet that came in where the program is. */
static __always_inline __u16 zone_here(const struct __sk_buff *ctx, enum program program)
{
	__u32 slot = 0;
	struct endpoint *ep;

	if (program == PROG_FROM_UPLINK)
		return ZONE_WORLD;
	ep = endpoint_of_device(ctx->ifindex, &slot);
	return ep ? ep->network : ZONE_WORLD;
}

/* A fragment that waited in vain, unless the host's stack has got it. */
static __always_inline void lose(const struct parked *head)
{
	struct counter *c;

	if (head->passed)
		return;
	c = drop_counter(DROP_FRAGMENT, direction_of(program_of(head->key.zone)));
	if (c)
		add(c, 1, head->length - ETH_HLEN);
}

/* What places of the datagram's pieces are marked with. */
static __always_inline __u32 park_mark(const struct frag_key *key)
{
	const __u32 *words = (const __u32 *)key;
	struct share *share = the_share();
	__u32 hash = share ? share->seed : 0;
	unsigned int i;

#pragma clang loop unroll(full)
	for (i = 0; i < sizeof(*key) / sizeof(*words); i++)
		hash = mix(hash, words[i]);
	return hash | PARK_TAKEN;
}

/* Copies the packet, of up to max bytes. */
static __always_inline bool park_frame(struct __sk_buff *ctx, const struct parking *parking,
				       struct parked *head, void *frame, __u32 max)
{
	__u32 len = ctx->len;

	/* Linux 6.1 learns the bounds of the register that is compared and of no other. */
	asm volatile("" : "+r"(len));
	if (len > max)
		return false;
	asm volatile("" : "+r"(len));
	if (len < ETH_HLEN + sizeof(struct iphdr) || bpf_skb_load_bytes(ctx, 0, frame, len))
		return false;
	head->key = parking->key;
	head->ifindex = ctx->ifindex;
	head->length = len;
	head->since = flow_now();
	head->passed = parking->outcome == NEXT;
	return true;
}

/* The place for the sender's next frame. */
static __always_inline __u32 next_place(struct parked_row *row, bool large)
{
	if (large)
		return PARK_PLACES +
		       (__sync_fetch_and_add(&row->next_large, 1) & (PARK_LARGE_PLACES - 1));
	return __sync_fetch_and_add(&row->next, 1) & (PARK_PLACES - 1);
}

/* Puts the packet in a place of row r. Returns the place's mark, or NULL. */
static __always_inline __u32 *park_in(struct __sk_buff *ctx, const struct parking *parking, __u32 r)
{
	struct parked_row *row = bpf_map_lookup_elem(&parked_rows, &r);
	bool large = ctx->len > PARK_FRAME, done = false;
	__u32 place, index, was, *mark;

	if (!row || ctx->len > PARK_LARGE_FRAME)
		return NULL;
	place = next_place(row, large);
	asm volatile("" : "+r"(place));
	if (place >= PARK_PLACES + PARK_LARGE_PLACES)
		return NULL;
	mark = &row->marks[place];
	was = __atomic_exchange_n(mark, PARK_BUSY, __ATOMIC_SEQ_CST);
	if (was == PARK_BUSY)
		return NULL;
	if (large) {
		struct parked_large *f;

		index = r * PARK_LARGE_PLACES + place - PARK_PLACES;
		f = bpf_map_lookup_elem(&parked_larges, &index);
		if (f && was != PARK_FREE)
			lose(&f->head);
		done = f && park_frame(ctx, parking, &f->head, f->frame, sizeof(f->frame));
	} else {
		struct parked_frame *f;

		index = r * PARK_PLACES + place;
		f = bpf_map_lookup_elem(&parked_frames, &index);
		if (f && was != PARK_FREE)
			lose(&f->head);
		done = f && park_frame(ctx, parking, &f->head, f->frame, sizeof(f->frame));
	}
	row->since = flow_now();
	__atomic_exchange_n(mark, done ? parking->mark : PARK_FREE, __ATOMIC_SEQ_CST);
	return done ? mark : NULL;
}

static __always_inline void count_parked(const struct __sk_buff *ctx, enum program program)
{
	__u32 direction = direction_of(program);
	struct counter *c = bpf_map_lookup_elem(&parked_counts, &direction);

	if (c)
		count(c, ctx);
}

/* Once more where fragments are looked at. */
static __always_inline int go_on_resolved(struct __sk_buff *ctx, bool v6, __u16 zone)
{
	if (zone == ZONE_WORLD)
		return go_on(ctx, v6, CALL_UPLINK_ODD);
	return go_on(ctx, v6, CALL_CONTAINER_ODD);
}

static __always_inline int park(struct __sk_buff *ctx, bool v6)
{
	struct scratch *s = scratch();
	struct packet *p = the_packet();
	enum program program = whose();
	__u16 zone = zone_here(ctx, program);
	struct parking *parking;
	__u32 sender, row, *mark;

	if (!s || !p)
		return TC_ACT_SHOT;
	parking = &s->parking;
	if (ctx->gso_size)
		return leave(ctx, program, parking->outcome);
	sender = park_sender(v6, p, zone);
	row = is_many(bpf_map_lookup_elem(&park_rates, &sender), PARK_BURST) ?
		      park_busy_row(zone) :
		      park_row(zone, sender);
	frag_key_of(v6, &parking->key, p, zone);
	parking->mark = park_mark(&parking->key);
	mark = park_in(ctx, parking, row);
	if (!mark)
		return leave(ctx, program, parking->outcome);
	/* Its first one came meanwhile, and saw nothing: it isn't to wait. */
	if (frag_resolve(v6, p, zone) &&
	    __sync_val_compare_and_swap(mark, parking->mark, PARK_FREE) == parking->mark)
		return leave(ctx, program, go_on_resolved(ctx, v6, zone));
	count_parked(ctx, program);
	/* Dropped here, for no reason yet: it comes again, or is lost and then has one. */
	return leave(ctx, program, parking->outcome == NEXT ? NEXT : TC_ACT_SHOT);
}

SEC("tc")
int park4(struct __sk_buff *ctx)
{
	return park(ctx, false);
}

SEC("tc")
int park6(struct __sk_buff *ctx)
{
	return park(ctx, true);
}

/*
 * Puts the packet's frame aside. No checksum that the kernel keeps beside the packet
 * survives, since it isn't one of the others: a frame that has grown has none
 * (CHECKSUM_COMPLETE), and what a device has found right must be looked at again.
 */
static __always_inline bool spare(struct __sk_buff *ctx, struct parking *parking)
{
	__u32 zero = 0, len = ctx->len;
	struct spare_frame *spare = bpf_map_lookup_elem(&spare_frames, &zero);

	if (!spare)
		return false;
	asm volatile("" : "+r"(len));
	if (len > sizeof(spare->frame))
		return false;
	asm volatile("" : "+r"(len));
	if (len < ETH_HLEN || bpf_skb_load_bytes(ctx, 0, spare->frame, len))
		return false;
	if (bpf_skb_change_tail(ctx, len + 1, 0))
		return false;
	bpf_csum_level(ctx, BPF_CSUM_LEVEL_RESET);
	parking->spared = len;
	return true;
}

/* Gives the packet its own frame again. */
static __always_inline bool restore(struct __sk_buff *ctx, __u32 len)
{
	__u32 zero = 0;
	struct spare_frame *spare = bpf_map_lookup_elem(&spare_frames, &zero);

	if (!spare)
		return false;
	asm volatile("" : "+r"(len));
	if (len > sizeof(spare->frame))
		return false;
	asm volatile("" : "+r"(len));
	if (len < ETH_HLEN || bpf_skb_change_tail(ctx, len, 0))
		return false;
	return !bpf_skb_store_bytes(ctx, 0, spare->frame, len, 0);
}

/* Sends a clone in by the frame's device that has the frame, of up to max bytes. */
static __always_inline bool resend(struct __sk_buff *ctx, const struct parked *head,
				   const void *frame, __u32 max)
{
	__u32 len = head->length;

	asm volatile("" : "+r"(len));
	if (len > max)
		return false;
	asm volatile("" : "+r"(len));
	if (len < ETH_HLEN + sizeof(struct iphdr) || bpf_skb_change_tail(ctx, len, 0) ||
	    bpf_skb_store_bytes(ctx, 0, frame, len, 0))
		return false;
	return !bpf_clone_redirect(ctx, head->ifindex, BPF_F_INGRESS);
}

/* A container's fragment has been counted as sent, and will be once more. */
static __always_inline void uncount_transmit(const struct parked *head)
{
	struct endpoint_counters *c;
	__u32 slot = 0;

	if (!endpoint_of_device(head->ifindex, &slot))
		return;
	c = bpf_map_lookup_elem(&endpoint_stats, &slot);
	if (!c)
		return;
	c->transmit.packets--;
	c->transmit.bytes -= head->length - ETH_HLEN;
}

static __always_inline bool frag_key_equal(const struct frag_key *a, const struct frag_key *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;
	__u32 differs = 0;
	unsigned int i;

#pragma clang loop unroll(full)
	for (i = 0; i < sizeof(*a) / sizeof(*x); i++)
		differs |= x[i] ^ y[i];
	return !differs;
}

/* What a marked place holds goes, if it is one of the datagram's pieces. Whether it is free then. */
static __always_inline int unpark_any(struct __sk_buff *ctx, const struct parked *head,
				      const void *frame, __u32 max)
{
	struct scratch *s = scratch();

	if (!s || !frag_key_equal(&head->key, &s->parking.key))
		return false;
	if (flow_now() - head->since > FRAG_SECONDS * touch_jiffies ||
	    (!s->parking.spared && !spare(ctx, &s->parking)) || !resend(ctx, head, frame, max))
		lose(head);
	else
		uncount_transmit(head);
	return true;
}

__noinline int unpark_frame(struct __sk_buff *ctx, __u32 index)
{
	struct parked_frame *f = bpf_map_lookup_elem(&parked_frames, &index);

	return f ? unpark_any(ctx, &f->head, f->frame, sizeof(f->frame)) : true;
}

__noinline int unpark_large(struct __sk_buff *ctx, __u32 index)
{
	struct parked_large *f = bpf_map_lookup_elem(&parked_larges, &index);

	return f ? unpark_any(ctx, &f->head, f->frame, sizeof(f->frame)) : true;
}

/* Brings back what row r holds of the datagram of the scratch's key. */
__noinline int unpark_row(struct __sk_buff *ctx, __u32 r)
{
	struct parked_row *row = bpf_map_lookup_elem(&parked_rows, &r);
	struct scratch *s = scratch();
	__u32 i, wanted;

	if (!row || !s)
		return 0;
	wanted = s->parking.mark;
#pragma clang loop unroll(disable)
	for (i = 0; i < PARK_PLACES + PARK_LARGE_PLACES; i++) {
		__u32 *mark = &row->marks[i];
		int gone;

		if (*mark != wanted ||
		    __sync_val_compare_and_swap(mark, wanted, PARK_BUSY) != wanted)
			continue;
		gone = i < PARK_PLACES ? unpark_frame(ctx, r * PARK_PLACES + i) :
					 unpark_large(ctx, r * PARK_LARGE_PLACES + i - PARK_PLACES);
		__atomic_exchange_n(mark, gone ? PARK_FREE : wanted, __ATOMIC_SEQ_CST);
	}
	return 0;
}

/*
 * After all else that is to become of a first fragment, redirected or whatever: the packet
 * lends its buffer to those that waited, and is itself again.
 */
static __always_inline int unpark(struct __sk_buff *ctx, bool v6, enum program program)
{
	struct scratch *s = scratch();
	__u16 zone = zone_here(ctx, program);
	struct parking *parking;

	if (!s)
		return TC_ACT_SHOT;
	parking = &s->parking;
	/* Fragments are neither segmented later nor summed up by a device. */
	if (ctx->gso_size || checksum_state(ctx) == CHECKSUM_PARTIAL)
		return parking->outcome;
	frag_key_of(v6, &parking->key, &s->packet, zone);
	parking->mark = park_mark(&parking->key);
	parking->spared = 0;
	unpark_row(ctx, park_row(zone, park_sender(v6, &s->packet, zone)));
	unpark_row(ctx, park_busy_row(zone));
	if (parking->spared && !restore(ctx, parking->spared))
		return dropped(DROP_REWRITE_FAILED);
	return parking->outcome;
}

SEC("tc")
int unpark4(struct __sk_buff *ctx)
{
	enum program program = whose();

	return leave(ctx, program, unpark(ctx, false, program));
}

SEC("tc")
int unpark6(struct __sk_buff *ctx)
{
	enum program program = whose();

	return leave(ctx, program, unpark(ctx, true, program));
}
