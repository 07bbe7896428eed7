// SPDX-License-Identifier: Apache-2.0

// Package isolate gives a measuring process a cell (test/cell) with a network of its own,
// so that all it makes ends with it: however it ends, the kernel takes away its processes,
// network namespaces, mounts, pinned programs and files, and what it does to the network
// it does to none that anybody uses. Only one runs at a time.
//
// Be aware:
//   - cgroups are not isolated: Docker's client of cgroup v1 takes paths as the
//     machine has them. Those that are named by cell.Named are removed at the end;
//   - sysctls that are no network namespace's are the machine's.
package isolate
