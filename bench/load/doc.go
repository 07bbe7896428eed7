// SPDX-License-Identifier: Apache-2.0

// Package load makes traffic between network namespaces and measures it: TCP
// request/response (rr), connect/request/response/close (crr), bulk (stream) and
// UDP request/response (udp-rr).
//
// Each end is a Side: a process of its own in a namespace and on a CPU, which it
// has before its first thread starts: this same program, run again by package
// child. The sides wait in blocking or epoll system calls of locked threads,
// without the runtime's poller and with the garbage collector off while they
// measure: what is measured is the kernel.
//
//	server, _ := load.Start(load.Place{Netns: "/run/netns/web", CPU: 0})
//	client, _ := load.Start(load.Place{Netns: "/run/netns/lan", CPU: 0})
//	addr, _ := server.Serve(ctx, load.Service{Kind: load.RR, Addr: addr, Flows: 16})
//	result, _ := client.Run(ctx, load.Job{Kind: load.RR, Targets: []netip.AddrPort{addr}, Flows: 16, ...})
//
// A closed loop (Rate 0) starts the next transaction when one ends: its rate on
// one CPU is the inverse of the cost. An open loop starts them by a schedule,
// whether or not earlier ones have ended, and measures each from the moment when
// the schedule wanted it: what waits because others are late is late too.
//
// Be aware:
//   - with both ends on one CPU a system call of the client runs the softirq, the
//     server is woken and the CPU changes hands: no IPI, no idle CPU;
//   - one flow in a closed loop uses blocking calls at both ends, several use
//     epoll: figures of 1 flow and of 16 differ by that, too;
//   - crr binds every connection to the next of all tuples (Job.Sources times
//     ports times Job.Targets), so no two have the same until all were used. What
//     has no address to bind to begins again after some 60,000;
//   - failures are part of the result, never an excuse for leaving something out.
//     A caller that must not have any asks Result.Clean.
package load
