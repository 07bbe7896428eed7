// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Sockets of the host itself, and of containers that ask their resolver.
 *
 * A socket in the host's network namespace that connects or sends to a
 * published port, on loopback or any address of the host, is pointed at the
 * container, once, and is told the address that it asked for. No packet is
 * translated, and nothing on the wire can use the same way.
 *
 * A socket in a container's namespace that connects to a service is pointed at a backend where it
 * can reach that itself; see direct.h. One that asks 127.0.0.11:53 is pointed at the port where the
 * namespace's resolver listens.
 */
#include "direct.h"

#define PROCEED 1
#define REFUSE 0
#define ECONNREFUSED 111
#define RESOLVER_ADDR bpf_htonl(0x7f00000b)
#define RESOLVER_PORT bpf_htons(53)

/* Where a socket wants to go; IPv4 is in the first word. */
struct destination {
	__be32 addr[4];
	__be16 port;
	__u8 proto;
	bool mapped; /* IPv4 in IPv6 clothes */
};

static __always_inline bool in_host_netns(struct bpf_sock_addr *ctx)
{
	return bpf_get_netns_cookie(ctx) == host_netns_cookie;
}

static __always_inline struct resolver *resolver_of(struct bpf_sock_addr *ctx)
{
	__u64 cookie = bpf_get_netns_cookie(ctx);

	return bpf_map_lookup_elem(&resolvers, &cookie);
}

/* No address means loopback to the kernel, which says so after this hook only. */
static __always_inline void unspecified_is_loopback(bool v6, struct destination *d)
{
	if (!addr_is_zero(v6, d->addr))
		return;
	if (v6)
		d->addr[3] = bpf_htonl(1);
	else
		d->addr[0] = bpf_htonl(0x7f000001);
}

/* The host is one client, and each of its sockets a flow, whatever it connects or sends. */
static __always_inline struct client client_of_socket(struct bpf_sock_addr *ctx,
						      const struct destination *d)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);

	/* What becomes of it no program sees. */
	return (struct client){ .flow = mix(mix(cookie, cookie >> 32), d->port),
				.reach = REACH_ALL | REACH_OUTSIDE,
				.look = d->proto == IPPROTO_TCP ? PASSIVE_LOOKS | PASSIVE_UNSEEN :
								  0 };
}

/*
 * The publication that a socket of the host would reach, by loopback too; *ep is NULL where
 * nobody is behind it.
 */
static __always_inline struct published *publication_for(struct bpf_sock_addr *ctx, bool v6,
							 struct destination *d,
							 struct endpoint **ep)
{
	struct client client;
	__u32 *owner = NULL;

	*ep = NULL;
	if (d->proto != IPPROTO_TCP && d->proto != IPPROTO_UDP)
		return NULL;
	if (!port_is_published(d->proto, d->port))
		return NULL;
	unspecified_is_loopback(v6, d);
	if (!addr_is_loopback(v6, d->addr)) {
		owner = host_addr(v6, d->addr);
		if (!owner)
			return NULL;
	}
	client = client_of_socket(ctx, d);
	return publish_resolve(v6, d->addr, d->port, d->proto, FOR_SOCKET,
			       owner && *owner ? *owner - 1 : 0, &client, ep);
}

/* What becomes of a call for which no container is there. */
static __always_inline int nobody(const struct published *pub)
{
	if (!pub || !publish_is_vacant(pub))
		return PROCEED;
	bpf_set_retval(-ECONNREFUSED);
	return REFUSE;
}

/* Whether an IPv4 address is behind it. */
static __always_inline bool leads_to_mapped(const struct published *pub)
{
	__be32 words[4];

	__builtin_memcpy(words, pub->addr, 16);
	return addr6_is_mapped(words);
}

static __always_inline void remember_origin(struct bpf_sock_addr *ctx, bool v6,
					    const struct destination *d,
					    const struct published *pub)
{
	struct socket_key key = { .cookie = bpf_get_socket_cookie(ctx), .port = pub->port };
	struct socket_origin origin = { .port = d->port,
					.endpoint = pub->endpoint,
					.generation = pub->generation };

	__builtin_memcpy(key.addr, pub->addr, 16);
	addr_map(v6, origin.addr, d->addr);
	bpf_map_update_elem(&socket_origins, &key, &origin, BPF_ANY);
}

/* Has the socket itself know where it was going. */
static __always_inline bool remember_led(struct bpf_sock_addr *ctx, bool v6,
					 const struct destination *d, const struct published *pub)
{
	struct led_socket *led = bpf_sk_storage_get(&led_sockets, ctx->sk, NULL,
						    BPF_SK_STORAGE_GET_F_CREATE);

	if (!led)
		return false;
	addr_map(v6, led->origin.addr, d->addr);
	led->origin.port = d->port;
	led->origin.endpoint = pub->endpoint;
	led->origin.generation = pub->generation;
	__builtin_memcpy(led->addr, pub->addr, 16);
	led->port = pub->port;
	return true;
}

/* The same for one of the host's; the control plane learns of it by this. */
static __always_inline void remember_host_led(struct bpf_sock_addr *ctx, bool v6,
					      const struct destination *d,
					      const struct published *pub)
{
	struct attachment *host = attachment_of(host_netns_cookie, 0);

	/* Of UDP the kernel doesn't tell what lies with a socket; socket_origins has it. */
	if (d->proto == IPPROTO_TCP)
		remember_led(ctx, v6, d, pub);
	if (host)
		__sync_fetch_and_add(&host->led, 1);
}

static __always_inline struct socket_origin *origin_of(struct bpf_sock_addr *ctx, bool v6,
						       const struct destination *d)
{
	struct socket_key key = { .cookie = bpf_get_socket_cookie(ctx), .port = d->port };

	addr_map(v6, key.addr, d->addr);
	return bpf_map_lookup_elem(&socket_origins, &key);
}

/* user_port is 32 bits wide in the context; its upper half is zero. */
static __always_inline void destination4(struct bpf_sock_addr *ctx, struct destination *d)
{
	d->addr[0] = ctx->user_ip4;
	d->port = ctx->user_port;
	d->proto = ctx->protocol;
}

static __always_inline void destination6(struct bpf_sock_addr *ctx, struct destination *d)
{
	d->addr[0] = ctx->user_ip6[0];
	d->addr[1] = ctx->user_ip6[1];
	d->addr[2] = ctx->user_ip6[2];
	d->addr[3] = ctx->user_ip6[3];
	d->port = ctx->user_port;
	d->proto = ctx->protocol;
	if (addr6_is_mapped(d->addr)) {
		d->mapped = true;
		d->addr[0] = d->addr[3];
	}
}

static __always_inline void set_addr4(struct bpf_sock_addr *ctx, const __u8 *addr)
{
	__be32 word;

	__builtin_memcpy(&word, addr + 12, 4);
	ctx->user_ip4 = word;
}

static __always_inline void set_addr6(struct bpf_sock_addr *ctx, const __u8 *addr)
{
	__be32 words[4];

	__builtin_memcpy(words, addr, 16);
	ctx->user_ip6[0] = words[0];
	ctx->user_ip6[1] = words[1];
	ctx->user_ip6[2] = words[2];
	ctx->user_ip6[3] = words[3];
}

static __always_inline void ask_resolver(struct bpf_sock_addr *ctx, __u8 proto)
{
	struct resolver *r = resolver_of(ctx);
	__be16 port = r ? (proto == IPPROTO_TCP ? r->tcp_port : r->udp_port) : 0;

	if (port)
		ctx->user_port = port;
}

static __always_inline void answer_as_resolver(struct bpf_sock_addr *ctx, __be16 port)
{
	struct resolver *r = resolver_of(ctx);

	if (r && (port == r->udp_port || port == r->tcp_port))
		ctx->user_port = RESOLVER_PORT;
}

/* A container's socket that connects; v6 is the family of what it connects to. */
static __always_inline const struct published *connect_direct(struct bpf_sock_addr *ctx, bool v6,
							      const struct destination *d)
{
	struct backend *b;

	if (d->proto != IPPROTO_TCP)
		return NULL;
	b = direct_backend(ctx, v6, d->addr, d->port, d->proto);
	if (b && remember_led(ctx, v6, d, &b->at))
		return &b->at;
	bpf_sk_storage_delete(&led_sockets, ctx->sk);
	return NULL;
}

/* What a socket does that is led. */
enum socket_call {
	CONNECTS,
	SENDS, /* without having connected */
};

static __always_inline int redirect4(struct bpf_sock_addr *ctx, enum socket_call call)
{
	const struct published *direct;
	struct destination d = {};
	struct published *pub;
	struct endpoint *ep;

	destination4(ctx, &d);
	if (d.addr[0] == RESOLVER_ADDR && d.port == RESOLVER_PORT) {
		ask_resolver(ctx, d.proto);
		return PROCEED;
	}
	if (!in_host_netns(ctx)) {
		direct = call == CONNECTS ? connect_direct(ctx, false, &d) : NULL;
		if (direct) {
			set_addr4(ctx, direct->addr);
			ctx->user_port = direct->port;
		}
		return PROCEED;
	}
	pub = publication_for(ctx, false, &d, &ep);
	if (!pub || (!ep && !publish_is_outside(pub)))
		return nobody(pub);
	remember_origin(ctx, false, &d, pub);
	if (call == CONNECTS)
		remember_host_led(ctx, false, &d, pub);
	set_addr4(ctx, pub->addr);
	ctx->user_port = pub->port;
	return PROCEED;
}

static __always_inline int redirect6(struct bpf_sock_addr *ctx, enum socket_call call)
{
	const struct published *direct;
	struct destination d = {};
	struct published *pub;
	struct endpoint *ep;

	destination6(ctx, &d);
	if (d.mapped && d.addr[0] == RESOLVER_ADDR && d.port == RESOLVER_PORT) {
		ask_resolver(ctx, d.proto);
		return PROCEED;
	}
	if (!in_host_netns(ctx)) {
		if (call != CONNECTS)
			return PROCEED;
		direct = d.mapped ? connect_direct(ctx, false, &d) : connect_direct(ctx, true, &d);
		if (direct) {
			set_addr6(ctx, direct->addr);
			ctx->user_port = direct->port;
		}
		return PROCEED;
	}
	pub = d.mapped ? publication_for(ctx, false, &d, &ep) : publication_for(ctx, true, &d, &ep);
	if (!pub || (!ep && !publish_is_outside(pub)))
		return nobody(pub);
	/* sendmsg can't change from IPv6 to IPv4 any more (udpv6_sendmsg). */
	if (call == SENDS && !d.mapped && leads_to_mapped(pub))
		return PROCEED;
	if (d.mapped)
		remember_origin(ctx, false, &d, pub);
	else
		remember_origin(ctx, true, &d, pub);
	if (call == CONNECTS && d.mapped)
		remember_host_led(ctx, false, &d, pub);
	else if (call == CONNECTS)
		remember_host_led(ctx, true, &d, pub);
	set_addr6(ctx, pub->addr);
	ctx->user_port = pub->port;
	return PROCEED;
}

/* What the container's socket asked for, if it was led to its peer. */
static __always_inline struct socket_origin *led_origin(struct bpf_sock_addr *ctx, bool v6,
							const struct destination *d)
{
	struct led_socket *led = bpf_sk_storage_get(&led_sockets, ctx->sk, NULL, 0);
	__be32 is[4], was[4];

	if (!led || led->port != d->port)
		return NULL;
	addr_map(v6, (__u8 *)is, d->addr);
	__builtin_memcpy(was, led->addr, 16);
	return addr6_equal(is, was) ? &led->origin : NULL;
}

/* The peer's address on its way to the program: what it asked for, not what it got. */
static __always_inline int restore4(struct bpf_sock_addr *ctx, enum socket_call call)
{
	struct socket_origin *origin;
	struct destination d = {};

	destination4(ctx, &d);
	if (d.addr[0] == RESOLVER_ADDR) {
		answer_as_resolver(ctx, d.port);
		return PROCEED;
	}
	if (in_host_netns(ctx))
		origin = origin_of(ctx, false, &d);
	else
		origin = call == CONNECTS ? led_origin(ctx, false, &d) : NULL;
	if (!origin)
		return PROCEED;
	set_addr4(ctx, origin->addr);
	ctx->user_port = origin->port;
	return PROCEED;
}

static __always_inline int restore6(struct bpf_sock_addr *ctx, enum socket_call call)
{
	struct socket_origin *origin;
	struct destination d = {};

	destination6(ctx, &d);
	if (d.mapped && d.addr[0] == RESOLVER_ADDR) {
		answer_as_resolver(ctx, d.port);
		return PROCEED;
	}
	if (in_host_netns(ctx))
		origin = d.mapped ? origin_of(ctx, false, &d) : origin_of(ctx, true, &d);
	else if (call == CONNECTS)
		origin = d.mapped ? led_origin(ctx, false, &d) : led_origin(ctx, true, &d);
	else
		origin = NULL;
	if (!origin)
		return PROCEED;
	set_addr6(ctx, origin->addr);
	ctx->user_port = origin->port;
	return PROCEED;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	return redirect4(ctx, CONNECTS);
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	return redirect6(ctx, CONNECTS);
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	return redirect4(ctx, SENDS);
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	return redirect6(ctx, SENDS);
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	return restore4(ctx, SENDS);
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	return restore6(ctx, SENDS);
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	return restore4(ctx, CONNECTS);
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	return restore6(ctx, CONNECTS);
}
