// SPDX-License-Identifier: Apache-2.0

// Package daemon is the running of fairway as a daemon: configuration, checks
// before the start, wiring of the packages, signals and the orderly end.
//
// The daemon works in the network namespace that it is started in and in the
// directories that it is given, so that several can run side by side on one
// machine, each a host of its own.
//
// Be aware:
//
//   - A mount namespace other than that of PID 1 hides the host's bpffs and
//     cgroups (ip netns exec makes one): the daemon then starts itself again in
//     PID 1's, and paths are looked up there.
//   - Ending the daemon changes nothing about sandboxes and their traffic.
package daemon
