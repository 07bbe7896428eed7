// SPDX-License-Identifier: Apache-2.0
/*
 * The loop of a relay: one thread, one epoll, a bounded number of clients, and no
 * memory that an idle one would need.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "relay.h"

/* How long new clients wait after the last descriptor was gone. */
#define PAUSE_MS 100
/* Descriptors that aren't clients'. */
#define SPARE_FILES 16

int relay_watch(struct relay *r, int fd, uint32_t events, struct watch *w)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	if (!epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &ev))
		return 0;
	return errno == EEXIST ? epoll_ctl(r->epoll, EPOLL_CTL_MOD, fd, &ev) : -1;
}

void relay_pause(struct relay *r)
{
	epoll_ctl(r->epoll, EPOLL_CTL_DEL, r->listener, NULL);
	r->paused = true;
}

static void resume(struct relay *r)
{
	if (r->count < r->limit && !relay_watch(r, r->listener, EPOLLIN, &r->incoming))
		r->paused = false;
}

/* As many clients as there may be descriptors for. */
static unsigned int client_limit(unsigned int files_each)
{
	const rlim_t want = SPARE_FILES + MAX_CLIENTS * files_each;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return 1;
	if (files.rlim_cur < want) {
		files.rlim_cur = files.rlim_max < want ? files.rlim_max : want;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (files.rlim_cur >= want)
		return MAX_CLIENTS;
	return files.rlim_cur > SPARE_FILES + files_each ?
		       (files.rlim_cur - SPARE_FILES) / files_each :
		       1;
}

static int prepare(struct relay *r, const struct tuple *t, int listener)
{
	bool udp = !strcmp(t->proto, "udp");

	r->listener = listener;
	r->target = target_of(t);
	r->limit = client_limit(udp ? 1 : 2);
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (r->epoll < 0 || fcntl(listener, F_SETFL, O_NONBLOCK))
		return -1;
	if (udp ? relay_udp(r) : relay_tcp(r))
		return -1;
	return relay_watch(r, listener, EPOLLIN, &r->incoming);
}

/* The event to handle next, or none after some time. One at a time: what handles
 * it may free what the next one would be for. A pause that it begins lasts for
 * another event at least, or for its time: what it is for isn't over yet. */
static void step(struct relay *r, int timeout, const sigset_t *mask)
{
	const bool paused = r->paused;
	struct epoll_event ev;
	struct watch *w;

	if (paused && (timeout < 0 || timeout > PAUSE_MS))
		timeout = PAUSE_MS;
	if (epoll_pwait(r->epoll, &ev, 1, timeout, mask) == 1) {
		w = ev.data.ptr;
		w->ready(w, r, ev.events);
	}
	if (paused)
		resume(r);
}

int relay(const struct tuple *t, int listener, const volatile sig_atomic_t *signalled,
	  const sigset_t *mask)
{
	static struct relay r;

	if (prepare(&r, t, listener))
		return -1;
	while (!*signalled)
		step(&r, r.tend ? r.tend(&r) : -1, mask);
	return 0;
}
