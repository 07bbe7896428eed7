// SPDX-License-Identifier: Apache-2.0

// Package sockets has the workloads whose ends are sockets: request/response,
// connect/request/response/close and bulk over TCP, request/response over UDP.
//
// Client, server and the softirq between them are on one CPU, so that the rate is
// the inverse of what a transaction costs. Cases with cpu=split have the server on
// another CPU, as it is deployed: they wake up an idle CPU for each message and
// tell more of that than of the path.
//
// Cases with load=N are open loops at N percent of the rate that the subject
// itself makes in a closed one: they measure latency at equal utilisation, and
// their transactions/s are the rate that was offered.
//
// One case is the middle, from the LAN to a published port by IPv4 with one flow,
// and the others differ from it in one thing each. Who names flows or families
// gets all combinations.
//
// Be aware:
//   - connections of crr have addresses and ports that no earlier one had, and the
//     arm's table of connections is emptied before each slice;
//   - clients of crr have all of their sockets in TIME_WAIT for a minute, so timers
//     of a slice run out in slices of all arms;
//   - a proxy runs where the scheduler puts it: with docker's, two CPUs work.
package sockets
