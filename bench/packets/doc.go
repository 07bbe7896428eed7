// SPDX-License-Identifier: Apache-2.0

// Package packets has the workloads whose packets the kernel makes: pps, flows and
// flood.
//
// Generator, path and sink are on one CPU, so ns per packet is what one packet
// costs with everything that happens to it, the generator's own share (the arm
// veth shows how little that is) included. It is CPU time of the thread that makes
// the packets, on whose time the softirqs run too, and of the CPU's ksoftirqd;
// packets per second are those of the clock.
//
// A case with n flows has sent each of them in both directions before it measures:
// what is measured are established connections, packet after packet of another
// one. Every packet is counted where it arrives; the addresses that it arrives
// with, and while flows are opened its checksums, are looked at.
//
// Be aware:
//   - packets have 62 bytes with IPv4 and 82 with IPv6;
//   - one packet after the other of 64k connections is the worst order for caches.
package packets
