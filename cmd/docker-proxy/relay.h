// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>
#include <stdint.h>

#include "proxy.h"

/* How many connections, or UDP clients, one port serves at most. Others wait in
 * the kernel's queue, or are dropped. */
#define MAX_CLIENTS 4096

/* Who is told that a descriptor is ready. It is part of what owns the descriptor,
 * which may free itself in the call. */
struct relay;

struct watch {
	void (*ready)(struct watch *w, struct relay *r, uint32_t events);
};

struct relay {
	int epoll, listener;
	struct sockaddr_in target;
	/* Clients now and at most. */
	unsigned int count, limit;
	/* No new client is let in until one goes. */
	bool paused;
	struct watch incoming;
	/* Called after every event, and at the latest when the time that it returns
	 * is over, in milliseconds; -1 for never. */
	int (*tend)(struct relay *r);
	/* The protocol's own. */
	void *state;
	/* What is on its way. Nobody keeps anything in it between two calls. */
	char buffer[65536];
};

/* Serves the clients that come to the socket until a signal arrives; mask is in
 * force while it waits. Not 0: nothing is served, see errno. */
int relay(const struct tuple *t, int listener, const volatile sig_atomic_t *signalled,
	  const sigset_t *mask);

/* Has the epoll tell w about fd. Not 0: see errno. */
int relay_watch(struct relay *r, int fd, uint32_t events, struct watch *w);

/* Lets nobody in until there is room. */
void relay_pause(struct relay *r);

/* Prepare a relay whose listener, target and epoll are set. Not 0: see errno. */
int relay_tcp(struct relay *r);
int relay_udp(struct relay *r);
