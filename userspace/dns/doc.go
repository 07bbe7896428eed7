// SPDX-License-Identifier: Apache-2.0

// Package dns is the embedded name server that each sandbox on a user-defined
// network has at 127.0.0.11. It answers for the names of the sandbox's networks
// out of a [Registry] and forwards everything else. Behaviour is Docker Engine's
// (daemon/libnetwork/resolver.go) where nothing else is said.
//
// The daemon has one Registry, in which it sets and removes endpoints as they
// come and go, and one [Resolver] per sandbox, whose [Config] it replaces when
// the sandbox is connected, disconnected or linked:
//
//	names := dns.NewRegistry()
//	names.Set(dns.Record{EndpointID: ep.ID, NetworkID: n.ID, Names: dns.Names(...), IPv4: ...})
//	shares := dns.NewShares()
//	r, err := dns.Start(dns.Options{Netns: path, Names: names, Shares: shares}, dns.Config{...})
//	datapath.EnsureResolver(ctx, ... r.UDPPort(), r.TCPPort())
//	r.Update(dns.Config{...})
//	r.Close()
//
// Threads: a socket belongs for life to the network namespace of the thread that
// makes it. Start notes the namespace of its caller's thread as the daemon's;
// every socket after that is made inside netns.NS.Do, on a thread locked for just
// that call. No other caller has to lock anything.
//
// Be aware:
//
//   - The loopback device of the sandbox must be up before Start: without it
//     127.0.0.11 can't be bound.
//   - The daemon answers, as dockerd does: while it is dead no sandbox on a
//     user-defined network resolves names. The sockets, and so the ports, are new
//     after a start.
//   - What is registered is visible: don't register endpoints of the default
//     bridge, which has no names in Docker.
//   - A Resolver keeps its network namespace alive until Close.
//   - A name or address of the sandbox's networks is never asked for upstream,
//     whatever the type and class; Docker forwards those that it doesn't know. Such
//     a query gets an empty NOERROR here, and no name leaks.
//   - An internal sandbox forwards nothing at all. Docker still asks servers
//     given with --dns, which may be on the internal network.
//   - An upstream that left queries for three names without a reply, and answered none
//     between them, is asked after the others for ten seconds. Docker has each query
//     wait four seconds for it. One name isn't enough, however often it is asked for:
//     its own servers may be dead, and the next upstream may know another view of it.
//   - Equal queries at a time go upstream as one; this also ends a query that comes
//     round from an upstream that leads back here. So a client's retry isn't forwarded;
//     instead a query over UDP is sent each second of its four until there is a reply.
//     Docker sends once for each try of a client.
//   - Limits are per sandbox: 1,024 queries being forwarded (REFUSED beyond), 128
//     TCP connections (the next ones wait in the backlog), and of both no more than
//     are left of the host's [Shares] for all other sandboxes.
//   - Queries on one TCP connection are answered one after the other, as in Docker:
//     a slow one holds up those behind it, and nobody else's.
//   - An upstream is told that 4,096 bytes are taken by UDP at most, and asked again by
//     TCP for more. Nothing is cached.
package dns
