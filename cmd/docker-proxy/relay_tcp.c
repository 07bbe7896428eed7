// SPDX-License-Identifier: Apache-2.0
/*
 * TCP connections, each joined with one to the container. Nothing is kept here:
 * bytes leave a socket's receive queue when the other socket has taken them, so
 * that a slow reader slows the writer down, and who ends or breaks its side has
 * that side ended or broken on the other.
 */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay.h"

/* Both descriptors are told of changes only, and both ways looked at then. */
#define EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)
/* How many buffers one way may fill before others have their turn. */
#define ROUNDS 8
/* As Docker's proxy: a peer that vanished is noticed after 15 s + 9 * 15 s. */
#define KEEPALIVE_SECONDS 15

enum {
	CLIENT,
	CONTAINER
};

struct pair {
	struct watch watch;
	int fd[2];
	/* No more comes from this side, and the other has been told. */
	bool ended[2];
};

static void tune(int fd)
{
	int on = 1, seconds = KEEPALIVE_SECONDS;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof(seconds));
}

/* Closes with a reset, as somebody does who has lost the connection. */
static void reset(int fd)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static void finish(struct pair *p, struct relay *r, void (*end)(int))
{
	end(p->fd[CLIENT]);
	end(p->fd[CONTAINER]);
	free(p);
	r->count--;
}

static void close_file(int fd)
{
	close(fd);
}

enum moved {
	WAITS,
	GOES_ON,
	ENDED,
	BROKEN
};

static enum moved failed(void)
{
	/* While the container hasn't answered yet, sending is EAGAIN too. */
	return errno == EAGAIN || errno == EINTR ? WAITS : BROKEN;
}

static bool is_connected(int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	return !getpeername(fd, (struct sockaddr *)&peer, &len);
}

/* Moves what there is from one side to the other. */
static enum moved move(struct pair *p, int from, struct relay *r)
{
	int source = p->fd[from], sink = p->fd[!from];
	ssize_t have, sent;

	if (p->ended[from])
		return ENDED;
	for (int i = 0; i < ROUNDS; i++) {
		have = recv(source, r->buffer, sizeof(r->buffer), MSG_PEEK);
		if (have < 0)
			return failed();
		if (have == 0) {
			/* Ending it before it began would break it. */
			if (!is_connected(sink))
				return WAITS;
			p->ended[from] = true;
			shutdown(sink, SHUT_WR);
			return ENDED;
		}
		sent = send(sink, r->buffer, have, MSG_NOSIGNAL);
		if (sent < 0)
			return failed();
		/* TCP throws away what it isn't asked to copy. */
		if (recv(source, NULL, sent, MSG_TRUNC) != sent)
			return BROKEN;
	}
	return GOES_ON;
}

static void pair_ready(struct watch *w, struct relay *r, uint32_t events)
{
	struct pair *p = (struct pair *)w;
	enum moved up = move(p, CLIENT, r), down = move(p, CONTAINER, r);

	if (up == BROKEN || down == BROKEN || events & EPOLLERR) {
		finish(p, r, reset);
	} else if (up == ENDED && down == ENDED) {
		finish(p, r, close_file);
	} else if (up == GOES_ON || down == GOES_ON) {
		/* Its turn is over; this asks for another event. */
		relay_watch(r, p->fd[CLIENT], EVENTS, w);
		relay_watch(r, p->fd[CONTAINER], EVENTS, w);
	}
}

/* Begins the connection to the container; how that goes is an event later. */
static int reach(struct relay *r)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	tune(fd);
	if (connect(fd, (struct sockaddr *)&r->target, sizeof(r->target)) && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

static int join(struct relay *r, int client)
{
	struct pair *p = calloc(1, sizeof(*p));

	if (!p)
		return -1;
	p->watch.ready = pair_ready;
	p->fd[CLIENT] = client;
	p->fd[CONTAINER] = reach(r);
	if (p->fd[CONTAINER] < 0) {
		free(p);
		return -1;
	}
	if (relay_watch(r, p->fd[CONTAINER], EVENTS, &p->watch) ||
	    relay_watch(r, client, EVENTS, &p->watch)) {
		close(p->fd[CONTAINER]);
		free(p);
		return -1;
	}
	return 0;
}

static void client_comes(struct watch *w, struct relay *r, uint32_t events)
{
	int fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)w, (void)events;
	if (fd < 0) {
		/* Out of descriptors or memory; all else is over with that client. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			relay_pause(r);
		return;
	}
	tune(fd);
	if (join(r, fd)) {
		reset(fd);
		return;
	}
	if (++r->count >= r->limit)
		relay_pause(r);
}

int relay_tcp(struct relay *r)
{
	r->incoming.ready = client_comes;
	return 0;
}
