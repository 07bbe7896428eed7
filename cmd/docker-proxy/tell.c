// SPDX-License-Identifier: Apache-2.0
/*
 * One HTTP request to the daemon's unix socket, whose path is in FAIRWAY_SOCKET
 * (which dockerd hands down to us) or the default one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy.h"

#define DEFAULT_SOCKET "/run/fairway/fairway.sock"
/* Docker waits 16 s for us to start. */
#define TIMEOUT_SECONDS 5

static const char *socket_path(void)
{
	const char *path = getenv("FAIRWAY_SOCKET");

	return path && *path ? path : DEFAULT_SOCKET;
}

static enum told unheard(char *why, size_t size, int err)
{
	snprintf(why, size, "daemon at %s: %s", socket_path(), strerror(err));
	return UNHEARD;
}

static int dial(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = TIMEOUT_SECONDS };
	int fd;

	if (strlen(socket_path()) >= sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(addr.sun_path, socket_path());
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		int err = errno;

		close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

/* The values are Docker's own words, numbers, addresses and a protocol: nothing in
 * them has to be escaped, and what has is not sent. */
static bool plain(const struct tuple *t)
{
	const char *all[] = { t->proto, t->host_ip, t->host_port, t->container_ip,
			      t->container_port };

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (all[i][strspn(all[i], "0123456789abcdefABCDEFtupsc.:")])
			return false;
	return true;
}

static int request(char *out, size_t size, const char *method, const struct tuple *t)
{
	char body[384];
	int len = snprintf(body, sizeof(body),
			   "{\"pid\":%d,\"proto\":\"%s\",\"host_ip\":\"%s\",\"host_port\":%s,"
			   "\"container_ip\":\"%s\",\"container_port\":%s}",
			   getpid(), t->proto, t->host_ip, t->host_port, t->container_ip,
			   t->container_port);

	if (len >= (int)sizeof(body))
		return -1;
	len = snprintf(out, size,
		       "%s /v1/docker/ports HTTP/1.1\r\nHost: fairway\r\nConnection: close\r\n"
		       "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		       method, len, body);
	return len < (int)size ? len : -1;
}

/* Reads the whole answer; what doesn't fit is left out. Returns its length. */
static ssize_t receive(int fd, char *out, size_t size)
{
	size_t have = 0;

	while (have < size - 1) {
		ssize_t n = read(fd, out + have, size - 1 - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		have += n;
	}
	out[have] = 0;
	return have;
}

/* The text in {"error":"..."}, or the status line. */
static void explain(char *answer, char *why, size_t size)
{
	const char key[] = "\"error\":\"";
	char *text = strstr(answer, key), *end;

	if (text) {
		text += sizeof(key) - 1;
		end = strrchr(text, '"');
	} else {
		text = answer;
		end = strstr(answer, "\r\n");
	}
	if (end)
		*end = 0;
	snprintf(why, size, "%s", text);
}

enum told tell(const char *method, const struct tuple *t, char *why, size_t size)
{
	char text[1024], answer[2048];
	int len = plain(t) ? request(text, sizeof(text), method, t) : -1;
	int fd, status = 0;
	ssize_t got;

	if (len < 0) {
		snprintf(why, size, "%s:%s to %s:%s: not a port that can be told", t->host_ip,
			 t->host_port, t->container_ip, t->container_port);
		return REFUSED;
	}
	fd = dial();
	if (fd < 0)
		return unheard(why, size, errno);
	if (write(fd, text, len) != len) {
		close(fd);
		return unheard(why, size, EPIPE);
	}
	got = receive(fd, answer, sizeof(answer));
	close(fd);
	if (got < 0)
		return unheard(why, size, errno == EAGAIN ? ETIMEDOUT : errno);
	if (sscanf(answer, "HTTP/1.1 %3d", &status) != 1 || status < 200 || status > 599)
		return unheard(why, size, EPROTO);
	if (status == 200)
		return strstr(answer, "\"internal\":true") ? INTERNAL : TOLD;
	explain(answer, why, size);
	return REFUSED;
}
