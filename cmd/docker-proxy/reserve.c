// SPDX-License-Identifier: Apache-2.0
/*
 * The socket that keeps a host port from everybody else. It is bound and nothing
 * more: a TCP connection that reaches it, because nobody carries the port at the
 * moment, is refused at once instead of hanging in a queue that nobody serves.
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

#define LISTEN_FD 4
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

/* Engines from 28.0 bind, and listen, themselves. Listening would let connections
 * in that hang; shutting the socket down ends that and keeps the port bound. */
static void take_given(const struct tuple *t)
{
	int off = 0;

	if (!strcmp(t->proto, "udp")) {
		refuse_datagrams(LISTEN_FD);
		return;
	}
	/* Without listening the option would let others listen on the port. */
	setsockopt(LISTEN_FD, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off));
	shutdown(LISTEN_FD, SHUT_RD);
}

int reserve(const struct tuple *t, char *why, size_t size)
{
	int type = SOCK_STREAM, protocol = IPPROTO_TCP, on = 1, fd;
	struct sockaddr_storage addr;
	socklen_t len = address_of(t, &addr);

	if (t->given) {
		take_given(t);
		return 0;
	}
	if (!len) {
		snprintf(why, size, "host address %s: not an address", t->host_ip);
		return -1;
	}
	if (!strcmp(t->proto, "udp")) {
		type = SOCK_DGRAM;
		protocol = IPPROTO_UDP;
	} else if (!strcmp(t->proto, "sctp")) {
		protocol = IPPROTO_SCTP;
	}
	fd = socket(addr.ss_family, type | SOCK_CLOEXEC, protocol);
	if (fd < 0 && protocol == IPPROTO_SCTP &&
	    (errno == EPROTONOSUPPORT || errno == ESOCKTNOSUPPORT))
		return 0; /* A kernel without SCTP sockets has nobody to keep away. */
	if (fd < 0)
		return fail(t, "socket for", why, size);
	if (addr.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	/* Connections of a former server in TIME_WAIT are not in the way; sockets that
	 * listen are, with the option too. */
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&addr, len))
		return fail(t, "listen on", why, size);
	if (type == SOCK_STREAM) {
		int off = 0;

		/* Now nobody may share the port with us. */
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off));
	} else {
		refuse_datagrams(fd);
	}
	return 0;
}
