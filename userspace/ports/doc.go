// SPDX-License-Identifier: Apache-2.0

// Package ports parses Docker's notation of published ports and reserves the
// host's side of them.
//
// A reservation is a socket that is bound in the network namespace of the
// calling thread and never listens, so that no other program gets the port and
// the kernel doesn't choose it as a source port. What makes the port reach a
// container is the datapath's business.
//
// How reservations of one port share it: with SO_REUSEADDR off, the kernel lets
// nothing else be bound to the same port and an overlapping address. Two
// publications may have 0.0.0.0:80 and 192.0.2.1:80, though (the more specific
// wins in the datapath), so the option is on for the length of one bind(2)
// where sockets of this package overlap the new one, and where a TIME_WAIT
// socket is in the way. A program that listens is seen by the kernel even then.
//
// A port that is published at both wildcard addresses has one dual-stack socket
// (RFC 3493, IPV6_V6ONLY off) for the two of them.
//
// Be aware:
//   - One file descriptor per port, and two where 0.0.0.0 and [::] of a port were
//     reserved one after another. The daemon raises RLIMIT_NOFILE.
//   - Without SCTP in the kernel, SCTP ports are reserved in the table only.
//   - A foreign UDP socket with SO_REUSEADDR on one address of the host isn't
//     noticed by a reservation of all addresses made while a third address of
//     the same port is reserved here.
//   - After a bind past TIME_WAIT sockets, a foreign program with SO_REUSEADDR
//     may bind(2) the port but not listen(2) on it.
package ports
