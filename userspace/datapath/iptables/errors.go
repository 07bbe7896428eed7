// SPDX-License-Identifier: Apache-2.0

package iptables

import "errors"

var (
	// ErrForeign is returned where the chains exist that this package would
	// make, and somebody else made them.
	ErrForeign = errors.New("chains of Docker's are in the way")
	// ErrOccupied is returned where another instance, which may be at work, has its
	// rules: they are one set for each network namespace.
	ErrOccupied = errors.New("another fairway instance has its rules in this network namespace, and there is room for one")
	// ErrNoFamily is returned for a network whose address family the kernel or
	// the iptables binaries don't have.
	ErrNoFamily = errors.New("address family not available")
	// ErrUnknown is returned for the ID of a network or endpoint that was not ensured.
	ErrUnknown = errors.New("not known to the datapath")
	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("datapath closed")
)
