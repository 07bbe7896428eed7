// SPDX-License-Identifier: Apache-2.0

// Package isolate gives a measuring process namespaces of its own, so that all it
// makes ends with it: however it ends, the kernel takes away its processes, network
// namespaces, mounts, pinned programs and files, and what it does to the network
// it does to none that anybody uses.
//
// The command runs three times:
//
//	outside  holds the lock, waits, and removes empty cgroups at the end
//	init     PID 1 of a new PID namespace, in new mount, network and IPC
//	         namespaces: mounts what the next one needs and reaps orphans
//	inside   does the work
//
// Outside's death is a SIGKILL for init (PR_SET_PDEATHSIG), and init's death one for
// every process in its PID namespace (pid_namespaces(7)).
//
// Be aware:
//   - cgroups are not isolated: Docker's client of cgroup v1 takes paths as the
//     machine has them. Those whose path has a name that begins with "fairway-bench"
//     are removed if they are new and empty;
//   - sysctls that are no network namespace's are the machine's.
package isolate
