// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

/* What Docker published, as it wrote it. */
struct tuple {
	const char *proto, *host_ip, *host_port, *container_ip, *container_port;
	/* The socket came with us, bound: nothing to reserve. */
	bool given;
	/* Clients are served by us: the host address is IPv6, and the container has
	 * IPv4 only, so that no packet of theirs can be for it. */
	bool relayed;
};

/* Whether t is what an engine may want, and its socket, if one came with us, one of
 * that protocol. Not 0: why tells what isn't. */
int check(const struct tuple *t, char *why, size_t size);

/* The descriptor of the socket that engines from 28.0 hand over. */
#define LISTEN_FD 4

/* Holds the host port in the kernel: *fd is the socket, -1 if there is none. A
 * socket for a relay lets clients in. Not 0: why tells the reason. */
int reserve(const struct tuple *t, int *fd, char *why, size_t size);

/* The container's address, for those that a relay serves. */
struct sockaddr_in target_of(const struct tuple *t);

/* Has the socket refuse what comes, and goes on to hold the port. */
void refuse(const struct tuple *t, int fd);

enum told {
	TOLD,
	INTERNAL, /* the container's network is internal: nobody may be let in */
	REFUSED,  /* the daemon says why */
	UNHEARD,  /* no daemon runs, or it doesn't answer in time */
};

/* Calls the daemon's /v1/docker/ports. */
enum told tell(const char *method, const struct tuple *t, char *why, size_t size);
