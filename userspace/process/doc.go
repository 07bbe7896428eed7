// SPDX-License-Identifier: Apache-2.0

// Package process runs what is in sandboxes: main processes, further ones beside them,
// and their ends. It knows nothing of networks: whoever makes the namespaces, the engine,
// starts a main process here and is told when it has ended.
//
// Be aware:
//
//   - The exit code of a process that ended while no daemon was there, or that an
//     earlier daemon started, is not known.
//   - Stop, Kill and Wait return once the end has been dealt with by whoever watches.
package process
