/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the programs and the control plane share: keys and values of the maps,
 * and the enums that both sides speak. The Go types are generated from this
 * file; nothing here is written twice.
 *
 * Addresses are 16 bytes in network byte order; IPv4 is v4-mapped
 * (::ffff:a.b.c.d) wherever a struct serves both families. Ports are in network
 * byte order, everything else in host byte order unless a comment says
 * otherwise. Padding is explicit, because keys are compared byte by byte.
 */
#pragma once

#include <linux/types.h>

/*
 * Why a packet was dropped. The only list there is: metrics labels, command
 * line text and docs are generated from it. Numbers are never reused.
 */
enum drop_reason {
	DROP_NONE = 0,
	DROP_MALFORMED = 1,         /* headers are cut short or contradict each other */
	DROP_UNMANAGED = 2,         /* the device has no endpoint yet, or no more */
	DROP_SPOOFED_MAC = 3,       /* source MAC isn't the endpoint's */
	DROP_SPOOFED_ADDRESS = 4,   /* source address isn't the sender's to use */
	DROP_SPOOFED_ARP = 5,       /* ARP speaks for another's address */
	DROP_SPOOFED_ND = 6,        /* router advertisement, redirect, or another's NA */
	DROP_DHCP_SERVER = 7,       /* a container answers as DHCP server */
	DROP_FAMILY_DISABLED = 8,   /* IPv6 on a network without it, or IPv4 likewise */
	DROP_ISOLATED = 9,          /* to an endpoint or gateway of another network */
	DROP_ICC = 10,              /* to a peer of a network with icc=false */
	DROP_INTERNAL = 11,         /* out of, or into, an internal network */
	DROP_DIRECT_ROUTING = 12,   /* from outside straight to a container address */
	DROP_MARTIAN = 13,          /* loopback address on the wire */
	DROP_NO_FLOW = 14,          /* belongs to no tracked connection and can't begin one */
	DROP_FLOW_TABLE_FULL = 15,  /* new flow refused, existing ones unharmed */
	DROP_NO_PORT = 16,          /* no free source port, or tuple, towards this destination */
	DROP_NO_ROUTE = 17,         /* no route, or one that leads to no uplink */
	DROP_NO_ADDRESS = 18,       /* the uplink has no address to masquerade with */
	DROP_FRAGMENT = 19,         /* fragment whose first part wasn't seen, or not in time */
	DROP_UNSUPPORTED = 20,      /* header chain or protocol that can't be translated */
	DROP_ENDPOINT_GONE = 21,    /* no endpoint is there, or not any more */
	DROP_PRIVATE_SOURCE = 22,   /* container address about to leave an uplink */
	DROP_REWRITE_FAILED = 23,   /* the kernel refused to change the packet */
	DROP_FLOW_EXPIRING = 24,    /* met a flow in the moment of its collection */
	DROP_HOST_PORT_IN_USE = 25, /* host connection reuses a masqueraded tuple */
	DROP_FLOW_SHARE = 26,     /* the room left in the flow table is kept for other endpoints */
	DROP_PORT_SHARE = 27,     /* the ports left towards this destination are kept for others */
	DROP_INCOMPLETE = 28,     /* a program that had to go on with it wasn't there */
	DROP_NO_BACKEND = 29,     /* a service has no backend that serves */
	DROP_SERVICE_SOURCE = 30, /* a service that others than the sender may use */
	DROP_ANSWER_RATE = 31,    /* would be answered with an ICMP error, one too many */
	DROP_REASON_MAX = 32,
};

/* Which way a packet goes, as seen from the container. */
enum direction {
	DIR_RECEIVE = 0,
	DIR_TRANSMIT = 1,
	DIR_MAX = 2,
};

enum program {
	PROG_FROM_CONTAINER = 0,
	PROG_TO_CONTAINER = 1,
	PROG_FROM_UPLINK = 2,
	PROG_TO_UPLINK = 3,
	PROG_UPLINK_XDP = 4,
	PROG_MAX = 5,
};

/* What a program did with a packet. */
enum verdict {
	VERDICT_REDIRECT = 0, /* forwarded past the host's stack */
	VERDICT_PASS = 1,     /* left to the stack, or not ours */
	VERDICT_DROP = 2,
	VERDICT_MAX = 3,
};

struct counter {
	__u64 packets;
	__u64 bytes;
};

struct endpoint_counters {
	struct counter receive;
	struct counter transmit;
	__u64 flows_refused; /* connections for which there was no room, or no share */
	__u64 ports_refused; /* those without a source port */
};

/* Room for so many. */
enum limit {
	DEVICE_SLOTS = 65536,
	MAX_ENDPOINTS = 8192,
	ALL_ENDPOINTS = 8192, /* slot of what is counted for all of them */
	PORT_USES = 65536,    /* counts of ports in use; a power of two */
	HEARD_PLACES = 4096,  /* a power of two */
	MAX_NETWORKS = 4096,
	MAX_PUBLISHED = 262144,
	MAX_SERVICES = 16384, /* pools of backends */
	MAX_BACKENDS = 4096,  /* of a pool */
	RING_PLACES = 32,     /* of a word of a ring */
	MAX_SOURCES = 65536,  /* of all services */
	SOURCE_IPV6 = 65536,  /* beside a slot, which is less */
	AFFINITY_WAYS = 4,    /* clients of a set */
	AFFINITY_BITS = 10,   /* of the number of sets of a pool */
	AFFINITY_SETS = 1 << AFFINITY_BITS,
	UPLINK_ADDRS = 4,  /* masquerade candidates per uplink and family */
	PORT_WORDS = 1024, /* of 64 bits, one bit per port */
	COLLECT_BATCH = 1024,
	CARRY_BATCH = 1024,
	NEXTHOP_BITS = 12, /* of the number of slots in nexthops, at most 16 */
	NEXTHOPS = 1 << NEXTHOP_BITS,
	NEXTHOP_PLACES = 8,   /* where a next hop may be, beginning with that of its hash */
	PROTOCOLS = 256,      /* of a family */
	PASSIVE_LONGEST = 60, /* seconds for which a backend is passed over at most */
	STRANGERS = 4096,     /* places of senders outside, by a hash; a power of two */

	/* Later fragments that wait; see park.bpf.c. All but the frames are powers of two. */
	PARK_ROWS = 8,     /* of outside and of containers, beside the one that the busy share */
	PARK_PLACES = 64,  /* of a row */
	PARK_FRAME = 1536, /* bytes that fit there */
	PARK_LARGE_PLACES = 8,   /* for longer ones */
	PARK_LARGE_FRAME = 9216, /* bytes that fit there */
};

enum device_flag {
	DEVICE_ENDPOINT = 1, /* host side of an endpoint's veth */
	DEVICE_UPLINK = 2,   /* leads outside; here only if it has an XDP program */
};

/* Facts per device: ifindex & (DEVICE_SLOTS - 1) -> what it is. */
struct device {
	__u32 ifindex;  /* whole index, to tell which device the slot is */
	__u32 endpoint; /* DEVICE_ENDPOINT: slot in endpoints */
	__u8 mac[6];    /* DEVICE_UPLINK: its own address */
	__u16 flags;    /* DEVICE_* */
};

enum endpoint_flag {
	ENDPOINT_READY = 1,        /* may send and receive */
	ENDPOINT_TAKES_FRAMES = 2, /* the container's end has NAPI, which XDP's frames need */
};

/*
 * A network may have one that is a relay: it stands for the host, answers for flows between
 * outside and outside (FLOW_RELAY), and nothing but these and backends names it.
 */
struct endpoint {
	__u32 ifindex; /* host side of the veth; a relay: the bridge */
	__be32 ip4;    /* 0: the endpoint has no IPv4 */
	__u8 ip6[16];  /* ::, likewise */
	__u8 mac[6];
	__u16 generation; /* changes with each new owner of the slot */
	__u16 network;    /* slot in networks */
	__u16 flags;      /* ENDPOINT_* */
};

enum network_flag {
	NETWORK_IPV4 = 1,
	NETWORK_IPV6 = 2,
	NETWORK_ICC = 4,
	NETWORK_INTERNAL = 8,
	NETWORK_MASQ4 = 16, /* hide the endpoints behind the uplink's address */
	NETWORK_MASQ6 = 32,
	NETWORK_OPEN4 = 64, /* nat-unprotected: direct access to everything */
	NETWORK_OPEN6 = 128,
	NETWORK_ROUTED4 = 256, /* direct access to published ports and ICMP */
	NETWORK_ROUTED6 = 512,
	NETWORK_TRUSTS = 1024, /* has entries in trusted_devices */
};

struct network {
	__u32 bridge_ifindex;
	__u32 flags; /* NETWORK_* */
	__be32 gateway4;
	__be32 snat4; /* masquerade source instead of the uplink's; 0: none */
	__u8 gateway6[16];
	__u8 snat6[16];
	__u8 gateway_mac[6];
	__u16 mtu; /* bytes */
	__be32 subnet4;
	__be32 mask4; /* 0: the network has no IPv4 */
	__u8 subnet6[16];
	__u8 mask6[16]; /* ::, likewise */
};

/* Devices of the host that lead straight to a network's published ports. */
struct trusted_key {
	__u32 network; /* slot */
	__u32 ifindex;
};

/* Endpoints by MAC within a network. */
struct mac_key {
	__u32 network;
	__u8 mac[6];
	__u16 pad;
};

/* Addresses of the host. */
struct addr_key {
	__u8 addr[16]; /* v4-mapped */
};

/* Endpoints by address within a network: another one may have the same addresses. */
struct endpoint_addr_key {
	__u32 network;
	__u8 addr[16]; /* v4-mapped */
};

/*
 * Longest-prefix key over v4-mapped addresses: an IPv4 /24 has prefixlen 120. The network
 * is the one that the host's routes lead to.
 */
struct subnet_key {
	__u32 prefixlen;
	__u8 addr[16];
};

enum published_flag {
	PUBLISHED_HOST_ONLY = 1, /* for sockets of the host itself */
	PUBLISHED_ROUTED = 2,    /* the endpoint's own address and port, for direct access */
	PUBLISHED_SERVICE = 4,   /* leads to one of a pool of backends */
	PUBLISHED_OUTSIDE = 8,   /* of a backend: an address outside, and no endpoint's */
};

struct published_key {
	__u8 addr[16]; /* v4-mapped; 0.0.0.0 and :: stand for any of the family */
	__be16 port;
	__u8 proto;
	__u8 pad;
	/*
	 * PUBLISHED_ROUTED: slot of the endpoint's; where addr is a service's own address, which
	 * others don't reach, slot of the network that it is of; else 0, the host.
	 */
	__u32 network;
};

struct published {
	__u8 addr[16]; /* the endpoint's address, v4-mapped */
	__be16 port;
	/*
	 * Slot; PUBLISHED_OUTSIDE: of the relay, by which clients outside get there, or 0;
	 * PUBLISHED_SERVICE: slot of the pool, and nothing else counts.
	 */
	__u16 endpoint;
	__u16 generation; /* of the endpoint */
	__u16 flags;      /* PUBLISHED_* */
};

/*
 * A service: each pool of backends has a slot, in which two tables of its own lie. See
 * service.h.
 *
 * Places of a ring, which hold indices of backends. Those of the first word are the number of
 * places, low half first.
 */
struct ring_word {
	__u16 place[RING_PLACES];
};

enum backend_state {
	BACKEND_NONE = 0,     /* nobody has the index */
	BACKEND_ACTIVE = 1,   /* gets new flows */
	BACKEND_DRAINING = 2, /* keeps those that it has */
	BACKEND_DOWN = 3,     /* has none */
};

/* How a backend answered, as programs saw it; see passive.h. Clients are told by short hashes. */
struct notes {
	__u16 clients[2]; /* the first two that it refused since it accepted somebody */
	__u16 served;     /* the last that it accepted, and hasn't refused since */
	__u8 failures;    /* how often each of the two, up to three, in two bits; NOTES_ALL */
	__u8 period;      /* seconds for which it is passed over; 0: it isn't */
};

#define NOTES_ALL 0x10 /* there was a third one */

/* One that new flows of a service are led to. */
struct backend {
	struct published at; /* as of a port that is published for it alone */
	__u64 flows;         /* that were led to it */
	__u32 state;         /* enum backend_state */
	__u32 until;         /* jiffies; those that it refused pass it over till then */
	struct notes notes;  /* aligned to 8 bytes, since it is changed as one word */
	__u32 pad[4];
};

enum pool_flag {
	POOL_RANDOM = 1,    /* draws a backend for each flow */
	POOL_BY_CLIENT = 2, /* all flows of an address have the same */
	POOL_SOURCES = 4,   /* has entries in service_sources, which others mustn't use */
	/* In the upper half: slot of the network that all active backends are on; 0: of several. */
	POOL_NETWORK_SHIFT = 16,
	POOL_PASSIVE = 8, /* passes over backends that fail; see passive.h */
};

/* What is said of a pool as a whole: stands where no backend does, at index 0. */
struct pool {
	__u32 flags;       /* POOL_* */
	__u32 affinity;    /* jiffies for which a client is remembered; POOL_BY_CLIENT */
	__u64 refused;     /* flows for which there was no backend */
	__u64 strangers;   /* flows that came from elsewhere than its sources */
	__u64 past;        /* flows of backends that are gone */
	__u64 passed_over; /* times that a backend began to be passed over */
	__u32 pad[6];
};

/*
 * Who may use a pool, by longest prefix: the slot has 32 bits of it, with the family, so that ::/0
 * isn't everybody of IPv4.
 */
struct source_key {
	__u32 prefixlen;
	__u32 slot;    /* | SOURCE_IPV6 */
	__u8 addr[16]; /* v4-mapped */
};

/* A client of a pool and its backend; all 0: nobody's. */
struct affinity {
	__u32 client; /* hash of the address */
	__u32 until;  /* jiffies */
	__u16 backend;
	__u16 pad;
};

struct affinity_set {
	struct affinity ways[AFFINITY_WAYS];
};

/* Holes in icc=false: from may reach to:port, and replies come back. */
struct link_key {
	__u32 network; /* slot, of both */
	__u8 from[16];
	__u8 to[16];
	__be16 port;
	__u8 proto;
	__u8 pad;
};

struct uplink_addr4 {
	__be32 addr; /* 0 ends the list */
	__be32 mask;
};

struct uplink_addr6 {
	__u8 addr[16]; /* :: ends the list */
};

struct uplink {
	struct uplink_addr4 v4[UPLINK_ADDRS];
	struct uplink_addr6 v6[UPLINK_ADDRS];
};

/* What changes while programs run; slot 0 of host_state. */
struct host_state {
	__u16 route_generation; /* flows with another one ask the FIB again */
	__u16 rules_generation; /* of netfilter's rules; flows with another one are judged again */
};

/*
 * Connections that an endpoint answers for; see share.h. What is open is the difference
 * of both, which may wrap around. By family, IPv4 first.
 */
struct flow_use {
	__u32 opened[2];
	__u32 ended[2];
};

/* What is open and was not counted, by the control plane's walk through the tables. */
struct flow_correction {
	__s32 open[2];
};

/* What each endpoint is sure of; slot 0 of shares. The control plane writes it. */
struct share {
	__u32 sure[2];    /* connections of a family; 0: nothing is kept for anybody */
	__u32 common[2];  /* with so many in the table, what is left is for the others */
	__u32 sure_ports; /* in 65,536ths of the ports towards one destination */
	__u32 others;     /* endpoints beside one */
	__u32 seed;       /* of the hash that finds counts of ports */
};

/* How full the flow table of a family is; IPv4's slot is 0, IPv6's 1. */
struct pressure {
	__u64 early_dropped; /* connections given up for others */
	__u32 next;          /* connections ever remembered in the ring, which holds the last */
	__u32 oldest;        /* of those, the first that wasn't looked at to give it up */
	__u32 until;         /* jiffies; till then room is made. 0: never was full */
	__u32 pad;
};

enum nexthop_kind {
	NEXTHOP_NONE = 0,      /* nobody's, or about to become somebody's */
	NEXTHOP_NEIGHBOUR = 1, /* of an uplink; see neighbour.h */
};

/* Whose a slot of nexthops is; all 0: never anybody's. */
struct nexthop_head {
	__u32 oif;
	__u16 generation; /* changes with each new owner; never 0 */
	__u8 kind;        /* enum nexthop_kind */
	__u8 family;      /* AF_* */
};

/* A MAC, which counts if the generation is the head's. */
struct nexthop_mac {
	__u8 mac[6];
	__u16 generation;
};

/*
 * Where flows go that leave the host; see nexthop.h. Heads and MACs are read and written
 * as one word each.
 */
struct nexthop {
	struct nexthop_head head;
	struct nexthop_mac mac;
	struct nexthop_mac own_mac; /* the device's */
	__be32 addr[4];             /* IPv4: first word only */
	__u32 asked;                /* jiffies: when the FIB was asked for the MAC */
	__u32 used;                 /* jiffies: when a flow asked for the slot, a second coarse */
	__u8 room[80]; /* other kinds: IPv6, UDP and VXLAN around a packet are 56 bytes */
} __attribute__((aligned(8)));

/*
 * Flow table. Every connection owns two entries, one per direction, each with
 * the whole verdict for a packet that matches the key. The zone tells where
 * the packet comes from: from outside, or from a container, and then it is the slot of its
 * network, since another network may have the same addresses.
 */
enum zone {
	ZONE_WORLD = 0, /* no network has this slot */
};

/*
 * What tells an echo's request, its reply and all other ICMP apart where the identifier
 * is 0: a key's ports alone don't.
 */
enum flow_echo {
	FLOW_NO_ECHO = 0,
	FLOW_ECHO_REQUEST = 8, /* as PKT_ECHO_REQUEST */
	FLOW_ECHO_REPLY = 16,
};

struct flow4_key {
	__be32 saddr;
	__be32 daddr;
	__be16 sport; /* ICMP echo request: identifier */
	__be16 dport; /* ICMP echo reply: identifier */
	__u16 zone;
	__u8 proto;
	__u8 echo; /* enum flow_echo */
};

struct flow6_key {
	__be32 saddr[4];
	__be32 daddr[4];
	__be16 sport;
	__be16 dport;
	__u16 zone;
	__u8 proto;
	__u8 echo;
};

enum flow_action {
	FLOW_DELIVER = 0, /* into a container: bpf_redirect_peer */
	FLOW_FORWARD = 1, /* out of an uplink: bpf_redirect_neigh */
	FLOW_STACK = 2,   /* via the host's stack, translated on egress */
};

enum flow_kind {
	FLOW_MASQUERADE = 0,
	FLOW_PUBLISHED = 1,
	FLOW_HAIRPIN = 2,
	FLOW_ROUTED = 3,
	FLOW_RELAY = 4, /* from outside to a backend outside */
};

enum flow_flag {
	FLOW_ORIGIN = 1,     /* entry of the direction that began the flow */
	FLOW_TWIN_WORLD = 2, /* the other entry is in ZONE_WORLD */
	FLOW_REWRITE = 4,    /* addresses or ports differ from the key's */
	FLOW_PORTS = 8,      /* ports differ */
	FLOW_KIND_SHIFT = 4, /* enum flow_kind in the upper half: room for 16 */
};

/* Bits of flow.state, set by packets of the entry's own direction. */
enum flow_state {
	FLOW_SEEN = 1,
	FLOW_SYN = 2,
	FLOW_ACK = 4,
	FLOW_FIN = 8,
	FLOW_RST = 16,
};

/*
 * last_seen of an entry that the collector has condemned. A packet changes
 * last_seen by compare-and-exchange, so either the packet saves the flow or
 * the collector takes it, never both.
 */
enum flow_last_seen {
	FLOW_DEAD = 0,
};

/* Bits of flow.netfilter below the generation of the rules; see netfilter.h. */
enum flow_netfilter {
	FLOW_SETTLED = 1, /* packets of this direction may go past netfilter */
	FLOW_RULES_SHIFT = 1,
};

/*
 * Nothing that follows from the key and the rest is kept, such as the checksum's
 * differences: the size is what bounds how many connections fit into memory. The
 * generations, the next hop's too, may wrap around, because no entry relies on one for
 * longer than a second (flow_touch).
 */
struct flow {
	__u32 last_seen; /* jiffies, low 32 bits; FLOW_DEAD when condemned */
	__u32 state;     /* FLOW_SEEN... */
	/*
	 * Last acknowledgement sent in this direction; see flow_begun(). Of replies none of which
	 * was seen: the name of the service's backend, or 0.
	 */
	__u32 tcp_ack;
	__u32 tcp_end; /* sequence number after the last segment sent */
	__u32 oif;     /* ifindex to redirect to; FLOW_DELIVER: zone of the other entry */
	__u32 nexthop; /* slot in nexthops, and its generation above; 0: ask the FIB */
	__u16 route_generation;
	__u16 netfilter; /* rules that let this direction pass, and FLOW_SETTLED */
	__be16 sport;    /* ports after translation */
	__be16 dport;
	__u16 endpoint; /* slot: receiver for FLOW_DELIVER, else sender */
	__u16 endpoint_generation;
	__u16 mtu;   /* of the route; 0: no limit below the device's */
	__u8 action; /* enum flow_action */
	__u8 flags;  /* FLOW_ORIGIN... */
};

struct flow4 {
	struct flow flow;
	__be32 saddr; /* addresses after translation */
	__be32 daddr;
};

struct flow6 {
	struct flow flow;
	__be32 saddr[4];
	__be32 daddr[4];
};

/*
 * What a packet from outside looked like before it was translated for netfilter to
 * judge, by what it looks like since.
 */
struct presented {
	__be32 daddr[4];
	__be16 sport;
	__be16 dport;
	__u32 backend; /* as of flow_plan */
	__u8 kind;     /* enum flow_kind */
	__u8 pad[3];
};

/* A tuple that the host only heard; see held.h. */
struct heard {
	__u32 hash;  /* tells it from others of its place */
	__u32 first; /* jiffies of the first packet, 0: none */
};

/* Ports of a fragmented datagram, learned from its first fragment. */
struct frag_key {
	__be32 saddr[4];
	__be32 daddr[4];
	__be32 id;
	__u16 zone;
	__u8 proto;
	__u8 pad;
};

struct frag {
	__be16 sport;
	__be16 dport;
	__u8 echo;  /* enum flow_echo */
	__u8 proto; /* IPv6: behind the extension headers of the first fragment */
	__u8 pad[2];
	__u32 since; /* jiffies, low 32 bits */
};

/*
 * How often something was done for a sender lately: fragmented datagrams that it began, pieces
 * of it that were parked, ICMP errors that it was answered with.
 */
struct rate {
	__u32 since; /* jiffies, low 32 bits */
	__u32 count;
};

/* What a place of a parked_row may hold beside the hash of a frag_key. */
enum park_mark {
	PARK_FREE = 0,
	PARK_BUSY = 1,  /* a program is writing or reading the frame */
	PARK_TAKEN = 2, /* set in every hash */
};

/* Places of later fragments that wait for their first one; see park.bpf.c. */
struct parked_row {
	__u32 since; /* jiffies of the last one; 0: there was none */
	__u32 next;  /* place for the next, modulo PARK_PLACES */
	__u32 next_large;
	__u32 marks[PARK_PLACES + PARK_LARGE_PLACES];
};

struct parked {
	struct frag_key key;
	__u32 ifindex; /* where it came in */
	__u32 length;  /* of the frame */
	__u32 since;   /* jiffies, low 32 bits */
	__u32 passed;  /* 1: this is a copy, the host's stack has got the fragment too */
};

struct parked_frame {
	struct parked head;
	__u8 frame[PARK_FRAME];
};

struct parked_large {
	struct parked head;
	__u8 frame[PARK_LARGE_FRAME];
};

/* Room for the frame of a first fragment while others take its place. */
struct spare_frame {
	__u8 frame[PARK_LARGE_FRAME];
};

/* Where a socket of the host was going before it was sent to a container. */
struct socket_key {
	__u64 cookie;
	__u8 addr[16];
	__be16 port;
	__u16 pad[3];
};

struct socket_origin {
	__u8 addr[16];
	__be16 port;
	__u16 endpoint;   /* slot of whom it was led to; 0 for nobody on this host */
	__u16 generation; /* of the endpoint: the address may be another's by now */
	__u16 pad;
};

/* A TCP socket that was connected to an endpoint in the place of what it asked for. */
struct led_socket {
	struct socket_origin origin; /* what it asked for */
	__u8 addr[16];               /* what it is connected to */
	__be16 port;
	__u16 pad;
};

/* The endpoint that a network namespace has on a network; see direct.h. */
struct attachment_key {
	__u64 netns;   /* cookie */
	__u32 network; /* slot; 0, and nobody's endpoint: the host's own namespace */
	__u32 pad;
};

struct attachment {
	__u16 endpoint;   /* slot */
	__u16 generation; /* of the endpoint; with another one this isn't true any more */
	__u32 led;        /* how many sockets of the namespace were connected by a program */
};

/* Embedded DNS server of a network namespace, by the namespace's cookie. */
struct resolver {
	__be16 udp_port; /* on 127.0.0.11 */
	__be16 tcp_port;
};

/* Work of the collector: one origin entry that looked expired. */
struct expired {
	struct flow6_key key; /* an IPv4 key lies in its first 16 bytes */
	__u32 last_seen;      /* of the origin entry when it was judged */
	__u32 twin_last_seen;
	__u32 ipv6;
	__u32 collected; /* out: 1 if the flow is gone */
};

/* What became of half a connection that was handed in to be carried over. */
enum carry_outcome {
	CARRY_ENTERED = 0, /* it wasn't there, or what was there had been seen before it last */
	CARRY_KNOWN = 1,   /* it is there, and has what packets told of it since */
	CARRY_TAKEN = 2,   /* its tuple belongs to another connection, seen later */
	CARRY_FULL = 3,    /* no room */
};

/* Half a connection from a table with another layout, in this one's; see carry.bpf.c. */
struct carried {
	struct flow6_key key; /* an IPv4 key lies in its first 16 bytes */
	struct flow6 flow;    /* likewise an IPv4 flow, in its first 48 */
	__u32 ipv6;
	__u32 outcome; /* out: enum carry_outcome */
};

struct collect_request {
	__u32 count;       /* entries of the expired map, or of carried, to look at */
	__u32 jiffies;     /* out: now */
	__u64 nanoseconds; /* out: now, CLOCK_MONOTONIC */
};

_Static_assert(sizeof(struct device) == 16, "device");
_Static_assert(sizeof(struct flow4_key) == 16, "flow4_key");
_Static_assert(sizeof(struct flow6_key) == 40, "flow6_key");
_Static_assert(sizeof(struct nexthop) == 128, "nexthop");
_Static_assert(sizeof(struct flow) == 40, "flow");
_Static_assert(sizeof(struct flow4) == 48, "flow4");
_Static_assert(sizeof(struct flow6) == 72, "flow6");
_Static_assert(sizeof(struct endpoint) == 36, "endpoint");
_Static_assert(sizeof(struct endpoint_addr_key) == 20, "endpoint_addr_key");
_Static_assert(sizeof(struct published_key) == 24, "published_key");
_Static_assert(sizeof(struct ring_word) == 64, "ring_word");
_Static_assert(sizeof(struct backend) == 64, "backend");
_Static_assert(sizeof(struct pool) == sizeof(struct backend), "pool");
_Static_assert(sizeof(struct link_key) == 40, "link_key");
