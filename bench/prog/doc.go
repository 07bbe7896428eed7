// SPDX-License-Identifier: Apache-2.0

// Package prog is the workload prog: what a packet costs in each of the datapath's
// programs, on each of its paths, run by BPF_PROG_TEST_RUN.
//
// The arm ebpf is the program, the arm empty one that returns at once; both run in
// the same wrapper, which writes the packet anew each time, so that their ratio
// compares machines and their difference is the program alone.
//
// Paths:
//
//	hit    the flow table has the packet's flow
//	miss   it hasn't, and nothing allows one
//	new    it hasn't, and the packet opens one: two entries are written
//	none   the path does not look at the flow table
//
// Tables:
//
//	empty  but for one flow, which every packet is of
//	64k    65,536 flows, and each packet is of another one than the last
//	90pct  the same flows, and so many others that 90 % of the table is taken
//
// Be aware:
//   - programs run without a device and deliver to nobody: this tells changes of
//     the code apart, not what a link carries; the workload pps does that;
//   - packets are linear, without offloads, and their checksums are only right for
//     the first one of a series: programs don't verify them.
package prog
