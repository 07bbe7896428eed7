// SPDX-License-Identifier: Apache-2.0

// Package quiet tells whether anyone else used the machine during a slice.
//
//	before, err := meter.Read()
//	... the slice ...
//	after, err := meter.Read()
//	use := after.Since(before)
//
// Foreign is the CPU time of every process that is neither this one nor one of
// its descendants, stolen by the hypervisor is what /proc/stat calls steal, and
// stalled are the times in which some process waited for memory or for a disk
// (PSI, Documentation/accounting/psi.rst).
//
// Be aware:
//   - threads of the kernel are nobody's: they do most of their work for the
//     slice (ksoftirqd, kworker);
//   - a process that begins and ends within a slice is seen once its parent has
//     waited for it, in steps of 10 ms;
//   - PSI of the CPU says nothing here: the workload itself has several processes
//     wait for one CPU;
//   - the meter itself takes some ms, outside of slices.
package quiet
