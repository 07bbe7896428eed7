// SPDX-License-Identifier: Apache-2.0

// Package harness builds small worlds of network namespaces, runs the real
// fairway daemon in the one that plays the host, and gives tests what they need
// to make and watch traffic there.
//
//	lan1 .10 ─┐                                ┌─ 198.51.100.10 wan
//	lan2 .11 ─┼─ sw ── .254 router 198.51.100.1 ┘
//	host .1 ──┘   192.0.2.0/24, 2001:db8::/64    198.51.100.0/24, 2001:db8:1::/64
//
// A test is written once with ForEach and runs for every datapath mode; inside
// it EachFamily and EachOffload walk the other axes. Where the modes differ, the
// difference is a row of Differences and a line of docs/differences.md.
//
// At the end of each test everything is removed by Fairway's own commands and
// the namespace that plays the host is compared with what it was before the
// daemon started; processes, mounts, pins and cgroups are looked for too.
//
// Be aware:
//
//   - Functions that run in a namespace use a locked thread; what they are given
//     must not call testing.T.FailNow. They return errors instead.
//   - Servers and clients are mostly sockets of the test process that were
//     created inside a sandbox's namespace: to the kernel there is no difference.
//   - Every address is a documentation or private one, and no namespace has a
//     way out to the machine's own network.
package harness
