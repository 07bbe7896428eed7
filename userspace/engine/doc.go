// SPDX-License-Identifier: Apache-2.0

// Package engine owns the networks, endpoints and sandboxes of one host: what
// is wanted, as values of package model, and the work of making the kernel have
// it.
//
// Every edit goes the same way: check the request, take names, addresses and
// ports, save the new state in one transaction, then make the devices and tell
// the datapath. Whatever fails, the steps are taken back in reverse order and
// nothing has changed. At start-up the same code runs over the stored state: it
// takes over what is right, makes what is missing and removes what nobody wants,
// so that the daemon may be killed at any moment.
//
// Names of a network, options and limits are Docker's; where a comment says
// "as Docker does", it is Engine 29's behaviour.
//
// Locks: an edit of a sandbox holds that sandbox's lock and, shared, those of its
// networks; an edit of a network holds its own. The values in memory have a
// mutex of their own that is never held across slow work, so reads don't wait.
//
// Be aware:
//
//   - A sandbox whose process ended gives up its endpoints at once. There is no
//     way to start it again; it is kept to be looked at and removed.
//   - A network that could not be restored at start-up stays in the state and is
//     told in the status; so is a sandbox.
package engine
