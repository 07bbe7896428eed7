// SPDX-License-Identifier: Apache-2.0

// Package step measures the datapath's part of publishing ports: the daemon as it
// is, with one more socket at which its datapath can be told the ports of an
// endpoint, past the engine. What a user waits for has other parts, attaching the
// container above all, which workload attach measures.
//
// It also publishes more ports than a daemon can hold sockets for, where the limit
// of open files (RLIMIT_NOFILE) is too low for as many as there are ports.
//
// Be aware:
//   - nobody reserves what is published so: the host's own sockets may have the
//     same ports;
//   - the engine knows nothing of it, and publishes what it knows when the
//     container changes.
package step
