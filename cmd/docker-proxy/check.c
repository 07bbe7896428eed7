// SPDX-License-Identifier: Apache-2.0
/*
 * Whether the arguments are ones that an engine gives. What isn't would be held, or
 * told, as something else: port 80x as 80, protocol icmp as TCP.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy.h"

static bool is_protocol(const char *text)
{
	return !strcmp(text, "tcp") || !strcmp(text, "udp") || !strcmp(text, "sctp");
}

static bool is_address(const char *text)
{
	struct in6_addr any;

	return inet_pton(AF_INET, text, &any) == 1 || inet_pton(AF_INET6, text, &any) == 1;
}

static bool is_port(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits && digits <= 5 && !text[digits] && atoi(text) > 0 && atoi(text) <= 65535;
}

/* Whether the socket that came with us can be the port's. */
static bool is_socket(const char *proto)
{
	int type;
	socklen_t size = sizeof(type);

	if (getsockopt(LISTEN_FD, SOL_SOCKET, SO_TYPE, &type, &size))
		return false;
	return type == (strcmp(proto, "udp") ? SOCK_STREAM : SOCK_DGRAM);
}

int check(const struct tuple *t, char *why, size_t size)
{
	const struct {
		const char *name, *value, *want;
		bool good;
	} all[] = {
		{ "-proto", t->proto, "tcp, udp or sctp", is_protocol(t->proto) },
		{ "-host-ip", t->host_ip, "an address", is_address(t->host_ip) },
		{ "-host-port", t->host_port, "1 to 65535", is_port(t->host_port) },
		{ "-container-ip", t->container_ip, "an address", is_address(t->container_ip) },
		{ "-container-port", t->container_port, "1 to 65535", is_port(t->container_port) },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (!all[i].good) {
			snprintf(why, size, "argument %s %.64s: want %s", all[i].name, all[i].value,
				 all[i].want);
			return -1;
		}
	if (t->given && !is_socket(t->proto)) {
		snprintf(why, size, "-use-listen-fd: descriptor %d isn't a %s socket", LISTEN_FD,
			 t->proto);
		return -1;
	}
	return 0;
}
