// SPDX-License-Identifier: Apache-2.0

// Package progrun tests the eBPF programs by BPF_PROG_TEST_RUN: tables of packets
// in and verdict, packet out, counters and flow table afterwards; properties under
// random events; and broken packets.
//
// Expected packets are built by gopacket in package frame, the world is package
// rig's. What test runs can't show (delivery, offloads, neighbours) is tested end
// to end elsewhere.
package progrun
