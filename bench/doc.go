// SPDX-License-Identifier: Apache-2.0

// Package bench measures: what a packet costs in each program, on each of its
// paths, and what the control plane takes to attach and publish.
//
//	make bench
//
// Columns beside Go's own:
//
//	ns/packet  the program's time alone, without what it takes to run it
//	x-empty    that time over the time of the same run with an empty program:
//	           comparable between machines, which ns/packet is not
//
// Be aware:
//   - programs run by BPF_PROG_TEST_RUN: warm caches, no device, no delivery. It
//     tells changes of the code apart, not what a link will carry;
//   - neighbours on the machine show. Compare medians of several runs (benchstat).
package bench
