// SPDX-License-Identifier: Apache-2.0
/*
 * UDP clients, each with a socket of its own towards the container, which tells
 * whom an answer is for. Answers leave from the address that was asked. A client
 * is forgotten 90 s after the last datagram of either side, as Docker's proxy
 * does; where there is no room for another, the oldest goes that was never
 * answered, so that forged ones push out nobody.
 */
#define _GNU_SOURCE /* in6_pktinfo */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "relay.h"

#ifndef IDLE_SECONDS /* A test has less time. */
#define IDLE_SECONDS 90
#endif
/* How many datagrams of one socket are moved before others have their turn. */
#define ROUNDS 32
#define BUCKETS 1024

struct client {
	struct watch watch;
	int fd;
	bool answered;
	time_t used;
	/* Who asks, and at which address of the host. */
	struct sockaddr_in6 peer;
	struct in6_addr asked;
	LIST_ENTRY(client) bucket;
	TAILQ_ENTRY(client) age;
};

TAILQ_HEAD(ages, client);

/* The clients by the hash of who they are, and by age, the oldest first. */
struct clients {
	LIST_HEAD(, client) buckets[BUCKETS];
	struct ages silent, answered;
};

static time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static bool same(const struct client *c, const struct sockaddr_in6 *peer,
		 const struct in6_addr *asked)
{
	return c->peer.sin6_port == peer->sin6_port &&
	       c->peer.sin6_scope_id == peer->sin6_scope_id &&
	       !memcmp(&c->peer.sin6_addr, &peer->sin6_addr, sizeof(peer->sin6_addr)) &&
	       !memcmp(&c->asked, asked, sizeof(*asked));
}

/* FNV-1a. Whoever aims at one bucket makes it MAX_CLIENTS long at most. */
static unsigned int bucket_of(const struct sockaddr_in6 *peer, const struct in6_addr *asked)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < sizeof(peer->sin6_addr); i++)
		hash = (hash ^ peer->sin6_addr.s6_addr[i] ^ asked->s6_addr[i]) * 16777619u;
	hash = (hash ^ (peer->sin6_port & 255)) * 16777619u;
	hash = (hash ^ (peer->sin6_port >> 8)) * 16777619u;
	return hash % BUCKETS;
}

static struct ages *ages_of(struct clients *all, const struct client *c)
{
	return c->answered ? &all->answered : &all->silent;
}

static void forget(struct relay *r, struct client *c)
{
	LIST_REMOVE(c, bucket);
	TAILQ_REMOVE(ages_of(r->state, c), c, age);
	close(c->fd);
	free(c);
	r->count--;
}

/* Makes the client the youngest, and one that was answered for good. */
static void used(struct relay *r, struct client *c, bool answered)
{
	TAILQ_REMOVE(ages_of(r->state, c), c, age);
	c->answered |= answered;
	c->used = seconds();
	TAILQ_INSERT_TAIL(ages_of(r->state, c), c, age);
}

/* Sends an answer from the address that the client had asked. */
static void answer(const struct relay *r, const struct client *c, void *data, size_t len)
{
	char control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = { 0 };
	struct iovec io = { .iov_base = data, .iov_len = len };
	struct msghdr m = {
		.msg_name = (void *)&c->peer,
		.msg_namelen = sizeof(c->peer),
		.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	struct in6_pktinfo from = { .ipi6_addr = c->asked, .ipi6_ifindex = c->peer.sin6_scope_id };

	h->cmsg_level = IPPROTO_IPV6;
	h->cmsg_type = IPV6_PKTINFO;
	h->cmsg_len = CMSG_LEN(sizeof(from));
	memcpy(CMSG_DATA(h), &from, sizeof(from));
	sendmsg(r->listener, &m, MSG_NOSIGNAL);
}

/* The container answers. An error is what ICMP said of an earlier datagram, and
 * no reason to give up: the container's program may just not listen yet. */
static void container_ready(struct watch *w, struct relay *r, uint32_t events)
{
	struct client *c = (struct client *)w;

	(void)events;
	for (int i = 0; i < ROUNDS; i++) {
		ssize_t n = recv(c->fd, r->buffer, sizeof(r->buffer), 0);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			continue;
		used(r, c, true);
		answer(r, c, r->buffer, n);
	}
}

static int reach(struct relay *r, struct watch *w)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&r->target, sizeof(r->target)) ||
	    relay_watch(r, fd, EPOLLIN, w)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Lets a client in. NULL: there is no room. */
static struct client *admit(struct relay *r, const struct sockaddr_in6 *peer,
			    const struct in6_addr *asked)
{
	struct clients *all = r->state;
	struct client *c;

	if (r->count >= r->limit) {
		if (TAILQ_EMPTY(&all->silent))
			return NULL;
		forget(r, TAILQ_FIRST(&all->silent));
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->watch.ready = container_ready;
	c->peer = *peer;
	c->asked = *asked;
	c->fd = reach(r, &c->watch);
	if (c->fd < 0) {
		free(c);
		return NULL;
	}
	c->used = seconds();
	LIST_INSERT_HEAD(&all->buckets[bucket_of(peer, asked)], c, bucket);
	TAILQ_INSERT_TAIL(&all->silent, c, age);
	r->count++;
	return c;
}

static struct client *find(struct relay *r, const struct sockaddr_in6 *peer,
			   const struct in6_addr *asked)
{
	struct clients *all = r->state;
	struct client *c;

	LIST_FOREACH(c, &all->buckets[bucket_of(peer, asked)], bucket)
	if (same(c, peer, asked))
		return c;
	return admit(r, peer, asked);
}

/* The address that a datagram was sent to. NULL: one that nobody can answer from. */
static const struct in6_addr *asked_in(struct msghdr *m)
{
	struct in6_pktinfo *to;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != IPPROTO_IPV6 || h->cmsg_type != IPV6_PKTINFO)
			continue;
		to = (struct in6_pktinfo *)CMSG_DATA(h);
		return IN6_IS_ADDR_MULTICAST(&to->ipi6_addr) ? NULL : &to->ipi6_addr;
	}
	return NULL;
}

static void datagrams_come(struct watch *w, struct relay *r, uint32_t events)
{
	struct sockaddr_in6 peer;
	union {
		char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
		struct cmsghdr align;
	} control;
	const struct in6_addr *asked;
	struct client *c;

	(void)w, (void)events;
	for (int i = 0; i < ROUNDS; i++) {
		struct iovec io = { .iov_base = r->buffer, .iov_len = sizeof(r->buffer) };
		struct msghdr m = {
			.msg_name = &peer,
			.msg_namelen = sizeof(peer),
			.msg_iov = &io,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control),
		};
		ssize_t n = recvmsg(r->listener, &m, 0);

		if (n < 0 && errno == EAGAIN)
			return;
		asked = n < 0 ? NULL : asked_in(&m);
		c = asked ? find(r, &peer, asked) : NULL;
		if (!c)
			continue;
		used(r, c, false);
		send(c->fd, r->buffer, n, MSG_NOSIGNAL);
	}
}

/* Forgets who was silent for too long, and says when to look again. */
static int expire(struct relay *r)
{
	struct clients *all = r->state;
	struct ages *lists[] = { &all->silent, &all->answered };
	time_t now = seconds();
	struct client *c;

	for (size_t i = 0; i < 2; i++)
		while ((c = TAILQ_FIRST(lists[i])) && now - c->used >= IDLE_SECONDS)
			forget(r, c);
	return r->count ? 1000 : -1;
}

int relay_udp(struct relay *r)
{
	static struct clients all;
	int on = 1;

	TAILQ_INIT(&all.silent);
	TAILQ_INIT(&all.answered);
	r->state = &all;
	r->incoming.ready = datagrams_come;
	r->tend = expire;
	return setsockopt(r->listener, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
}
