// SPDX-License-Identifier: Apache-2.0

// Package iptables carries networks through a Linux bridge and the rules that
// Docker Engine 29 makes with --userland-proxy=false, chain for chain.
//
// What is wanted is turned into a Ruleset by a pure function (Rules); the rest
// of the package makes the kernel equal to it with iptables-restore --noflush,
// one transaction per address family. A change of one endpoint or of its ports
// is written as its own few lines, not as a new table.
//
// # Whose rules these are
//
// The chains DOCKER, DOCKER-BRIDGE, DOCKER-CT, DOCKER-FORWARD and
// DOCKER-INTERNAL belong to this package; DOCKER-USER is the administrator's and
// is made when missing and never flushed. In the built-in chains rules carry no
// mark, for Docker's don't and a mark would cost time on every packet. Instead
// each table has a chain FAIRWAY to which nothing jumps: the journal. It holds a
// copy of every rule in a built-in chain and the settings as they were before,
// and changes in the same transaction as the rules, so that they are found
// again after the daemon was killed at any moment. Where the chains exist
// without a journal they are Docker's, and New's caller gets ErrForeign. The name of
// the instance stands in each journal, and tells by its absence that another program
// flushed the table. There is one set of rules for each network namespace: a second
// instance is refused while the first may be at work, and doesn't remove its rules.
//
// What another program removes, tables, chains or single rules, comes back with the
// next change, or when the counters are read next.
//
// # Services
//
// FAIRWAY-SERVICES in nat leads from a service's addresses and ports to a chain of the
// pool, FAIRWAY-POOL-..., whose rules choose a backend as kube-proxy's do: statistic draws
// one, recent leads a client to the one that it had. FAIRWAY-HAIRPIN hides a client that
// is the backend itself, and those of a backend outside. FAIRWAY-SERVICES in filter, to
// which INPUT leads, refuses what no pool took. Nothing leads to these chains while there
// is no service.
//
// # Sockets of the host and IPv6
//
// The kernel cannot translate ::1 on the way to another device: the answer is
// dropped as it comes back. For [::1] and for IPv6 addresses in front of a
// container without IPv6 Docker runs docker-proxy. Here a REDIRECT in the chain
// FAIRWAY-PROXY, reachable from nat OUTPUT of ip6tables only, leads to a proxy
// inside the daemon: sockets of the host get through, nobody else does.
//
// Be aware:
//
//   - That proxy is the one part of the data path that needs the daemon alive.
//   - Nothing stops a container from spoofing addresses inside its own bridge,
//     and a container with CAP_NET_ADMIN reaches sockets bound to 127.0.0.1 of
//     the host (route_localnet): both as with Docker.
//   - Counters count a GSO packet once. Drops by the kernel itself (reverse
//     path, martians) are not seen.
//   - Flow.Idle is computed from the timeout that applies to the flow's state
//     now, and is zero where a timeout was set by other means.
//   - With iptables-legacy a table is committed on its own: the transaction is
//     per table, raw and filter before nat, so that a refusal comes first.
package iptables
