// SPDX-License-Identifier: Apache-2.0

// Package services has the workload of services: what a flow costs that a backend is chosen
// for, how soon new flows follow a change, what is lost meanwhile, and what memory many take.
//
//	op=rr, crr  the load of the workloads of that name, to a service of two backends or
//	            to one container without: by the service's address from a container, by
//	            its published port from the LAN; alone, or as one of many
//	op=follow   from the call of the daemon's API by which a backend comes to a service of
//	            so many, or leaves it, until new flows follow
//	op=replace  requests lost while half of the backends are replaced, one after another:
//	            the new one is there first, and the old one drains
//	op=kill     requests lost when the process of a backend is killed, with a check or
//	            with what the datapath sees
//	op=memory   a daemon with so many services of so many backends
//
// Be aware:
//   - haproxy has one thread, on the CPU that everything of rr and crr is on: its rate is
//     what it costs, too;
//   - many services are many ports of fewer services, of 250 each. All that grows does so
//     with ports: rules, chains, pools and entries of tables;
//   - the backends of op=follow but one are addresses outside whose host refuses. The one
//     that comes and goes has so great a weight that every fifth flow is its; every 50 µs one
//     is tried, so that times are rounded to a quarter of a millisecond;
//   - a request of op=replace and op=kill that takes more than 0.9 s is lost: the kernel
//     sends a SYN again after a second.
package services
