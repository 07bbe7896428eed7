// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* What Docker published, as it wrote it. */
struct tuple {
	const char *proto, *host_ip, *host_port, *container_ip, *container_port;
	/* The socket came with us, bound: nothing to reserve. */
	bool given;
};

/* Holds the host port in the kernel. Not 0: why tells the reason. */
int reserve(const struct tuple *t, char *why, size_t size);

enum told {
	TOLD,
	REFUSED, /* the daemon says why */
	UNHEARD, /* no daemon runs, or it doesn't answer in time */
};

/* Calls the daemon's /v1/docker/ports. */
enum told tell(const char *method, const struct tuple *t, char *why, size_t size);
