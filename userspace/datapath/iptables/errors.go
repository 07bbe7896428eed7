// SPDX-License-Identifier: Apache-2.0

package iptables

import "errors"

var (
	// ErrForeign is returned where the chains exist that this package would
	// make, and somebody else made them.
	ErrForeign = errors.New("chains of Docker's are in the way")
	// ErrNoFamily is returned for a network whose address family the kernel or
	// the iptables binaries don't have.
	ErrNoFamily = errors.New("address family not available")
	// ErrUnknown is returned for the ID of a network or endpoint that was not ensured.
	ErrUnknown = errors.New("not known to the datapath")
	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("datapath closed")
)
