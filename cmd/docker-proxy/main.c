// SPDX-License-Identifier: Apache-2.0
/*
 * The program that a Docker Engine starts for every published port
 * (dockerd --userland-proxy-path). It holds the port's socket, so that no other
 * program gets it, tells Fairway's daemon what leads where, and sleeps: the
 * datapath carries the traffic. The exception is an IPv6 address of the host in
 * front of a container without IPv6. IPv6 clients elsewhere can't be translated
 * and are relayed, as Docker's own proxy does.
 *
 * Docker's protocol (moby cmd/docker-proxy, the same since 1.13):
 *
 *   arguments  -proto P -host-ip A -host-port N -container-ip C -container-port M
 *              and, since 28.0, -use-listen-fd: the bound socket is descriptor 4
 *   fd 3       a pipe: "0\n" once the port works, or "1\n" and why it doesn't
 *   SIGINT     give the port up and exit; Docker waits
 *   SIGTERM    Docker itself has died: exit. The port is not given up, since the
 *              container goes on, and a new engine starts us again
 *
 * A daemon that doesn't run is no error: the container starts, and the daemon
 * finds us by our arguments when it comes. What it refuses is one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "proxy.h"
#include "relay.h"

#define STATUS_FD 3

static volatile sig_atomic_t signalled;

static void note_signal(int sig)
{
	signalled = sig;
}

/* Tells Docker why the port can't be had, and ends. */
static void __attribute__((noreturn, format(printf, 1, 2))) give_up(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	dprintf(STATUS_FD, "1\n%s", text);
	fprintf(stderr, "docker-proxy: %s\n", text);
	exit(1);
}

/* Reads the arguments; every flag is known, or an engine wants what we lack. */
static void parse(struct tuple *t, int argc, char **argv)
{
	const struct {
		const char *name, **value;
	} flags[] = {
		{ "proto", &t->proto },
		{ "host-ip", &t->host_ip },
		{ "host-port", &t->host_port },
		{ "container-ip", &t->container_ip },
		{ "container-port", &t->container_port },
	};
	const size_t count = sizeof(flags) / sizeof(*flags);

	for (int i = 1; i < argc; i++) {
		const char *name = argv[i] + strspn(argv[i], "-");
		size_t f = 0;

		if (!strcmp(name, "use-listen-fd") || !strcmp(name, "use-listen-fd=true")) {
			t->given = true;
			continue;
		}
		while (f < count && strcmp(name, flags[f].name))
			f++;
		if (f == count || i + 1 == argc)
			give_up("argument %s: not known to Fairway's docker-proxy, or without value",
				argv[i]);
		*flags[f].value = argv[++i];
	}
	for (size_t f = 0; f < count; f++)
		if (!*flags[f].value)
			give_up("argument -%s is missing", flags[f].name);
}

/* Whether clients of the port have to be served here. SCTP isn't. */
static bool needs_relay(const struct tuple *t)
{
	struct in6_addr host;
	struct in_addr container;

	return strcmp(t->proto, "sctp") && inet_pton(AF_INET6, t->host_ip, &host) == 1 &&
	       inet_pton(AF_INET, t->container_ip, &container) == 1;
}

/* Blocks the signals that end us, so that none comes between two lines. */
static void prepare_signals(sigset_t *before)
{
	struct sigaction action = { .sa_handler = note_signal };
	sigset_t ours;

	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigprocmask(SIG_BLOCK, &ours, before);
	sigdelset(before, SIGINT);
	sigdelset(before, SIGTERM);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* Without a descriptor for the status the port's socket would get its number, and be closed. */
static void occupy_status(void)
{
	int fd;

	if (fcntl(STATUS_FD, F_GETFD) >= 0)
		return;
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && fd != STATUS_FD) {
		dup2(fd, STATUS_FD);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	struct tuple t = { 0 };
	char why[384];
	sigset_t unblocked;
	int fd;

	occupy_status();
	prepare_signals(&unblocked);
	parse(&t, argc, argv);
	if (check(&t, why, sizeof(why)))
		give_up("%s", why);
	t.relayed = needs_relay(&t);
	if (reserve(&t, &fd, why, sizeof(why)))
		give_up("%s", why);
	switch (tell("POST", &t, why, sizeof(why))) {
	case TOLD:
		break;
	case INTERNAL:
		if (t.relayed)
			refuse(&t, fd);
		t.relayed = false;
		break;
	case REFUSED:
		give_up("fairway: %s", why);
	case UNHEARD:
		fprintf(stderr, "docker-proxy: %s; the port is carried when the daemon runs\n",
			why);
	}
	dprintf(STATUS_FD, "0\n");
	close(STATUS_FD);
	if (t.relayed && relay(&t, fd, &signalled, &unblocked))
		fprintf(stderr, "docker-proxy: relay for %s:%s: %s\n", t.host_ip, t.host_port,
			strerror(errno));
	while (!signalled)
		sigsuspend(&unblocked);
	/* Nobody new while the daemon is told. */
	if (t.relayed)
		close(fd);
	if (signalled == SIGINT)
		tell("DELETE", &t, why, sizeof(why));
	return 0;
}
