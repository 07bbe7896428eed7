// SPDX-License-Identifier: Apache-2.0
/*
 * The socket that keeps a host port from everybody else. Unless a relay serves it,
 * it is bound and nothing more: a TCP connection that reaches it, because nobody
 * carries the port at the moment, is refused at once instead of hanging in a queue
 * that nobody serves.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy.h"

#ifndef IPPROTO_SCTP
#define IPPROTO_SCTP 132
#endif

static int fail(const struct tuple *t, const char *what, char *why, size_t size)
{
	snprintf(why, size, "%s %s:%s/%s: %s", what, t->host_ip, t->host_port, t->proto,
		 strerror(errno));
	return -1;
}

/* Lets no datagram into the queue: nobody reads it. */
static void refuse_datagrams(int fd)
{
	struct sock_filter drop[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	struct sock_fprog program = { .len = 1, .filter = drop };

	setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static socklen_t address_of(const struct tuple *t, struct sockaddr_storage *to)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
	in_port_t port = htons((unsigned short)atoi(t->host_port));

	memset(to, 0, sizeof(*to));
	if (inet_pton(AF_INET, t->host_ip, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = port;
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, t->host_ip, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = port;
		return sizeof(*v6);
	}
	return 0;
}

void refuse(const struct tuple *t, int fd)
{
	int off = 0;

	if (!strcmp(t->proto, "udp")) {
		refuse_datagrams(fd);
		return;
	}
	/* Without listening the option would let others listen on the port. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off));
	shutdown(fd, SHUT_RD);
}

/* Engines from 28.0 bind, and listen, themselves. Listening would let connections
 * in that hang; shutting the socket down ends that and keeps the port bound. */
static void take_given(const struct tuple *t)
{
	int none = 0;

	if (!t->relayed) {
		refuse(t, LISTEN_FD);
		return;
	}
	/* Engines from 29.0 keep everything away from it until it is served. */
	setsockopt(LISTEN_FD, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none));
}

/* Makes the socket that t asks for. -1 without SCTP in the kernel, which keeps
 * nobody away then, and with errno for all else. */
static int open_socket(const struct tuple *t, int family)
{
	int on = 1, fd;

	if (!strcmp(t->proto, "udp")) {
		fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
	} else if (!strcmp(t->proto, "sctp")) {
		fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP);
		if (fd < 0 && (errno == EPROTONOSUPPORT || errno == ESOCKTNOSUPPORT))
			errno = 0;
	} else {
		fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	}
	if (fd >= 0 && family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	return fd;
}

/* Binds a socket of our own, and listens for a relay's connections. */
static int hold(const struct tuple *t, int fd, const struct sockaddr *addr, socklen_t len)
{
	int on = 1, off = 0;

	if (!strcmp(t->proto, "udp")) {
		if (!t->relayed)
			refuse_datagrams(fd);
		return bind(fd, addr, len);
	}
	/* Connections of a former server in TIME_WAIT are not in the way; sockets that
	 * listen are, with the option too. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, addr, len))
		return -1;
	/* Now nobody may share the port with us. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off));
	return t->relayed ? listen(fd, SOMAXCONN) : 0;
}

int reserve(const struct tuple *t, int *fd, char *why, size_t size)
{
	struct sockaddr_storage addr;
	socklen_t len = address_of(t, &addr);

	if (t->given) {
		*fd = LISTEN_FD;
		take_given(t);
		return 0;
	}
	if (!len) {
		snprintf(why, size, "host address %s: not an address", t->host_ip);
		return -1;
	}
	*fd = open_socket(t, addr.ss_family);
	if (*fd < 0)
		return errno ? fail(t, "socket for", why, size) : 0;
	if (hold(t, *fd, (struct sockaddr *)&addr, len))
		return fail(t, "listen on", why, size);
	return 0;
}

struct sockaddr_in target_of(const struct tuple *t)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((unsigned short)atoi(t->container_port)) };

	inet_pton(AF_INET, t->container_ip, &to.sin_addr);
	return to;
}
