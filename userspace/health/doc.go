// SPDX-License-Identifier: Apache-2.0

// Package health asks backends whether they serve, from the host's network namespace.
//
// A Checker has any number of targets, in groups that are told whole (Set). All due times
// are in one place, and a bounded number of probes runs at a time, so goroutines and
// sockets are bounded too. Targets that didn't answer in time the last time have half of
// that number at most: dead ones hold up no living one's checks for long.
//
// Whoever makes a Checker is told what becomes of targets (Config.Tell).
//
// Be aware:
//   - a target that nothing is known of isn't healthy until its first success, which
//     needs no others in a row; it is asked soon and often at first;
//   - a target whose state was handed in keeps it until checks say otherwise, Rise or
//     Fall times in a row; its first check comes at a random time within its interval,
//     so that a restart asks nobody's ten thousand backends at once;
//   - a check that is under way while its target changes or goes tells nothing.
package health
