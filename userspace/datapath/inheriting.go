// SPDX-License-Identifier: Apache-2.0

package datapath

import "context"

// Inheriting is a datapath that goes on with what an earlier process left in the kernel,
// without knowing whether that had the same state.
type Inheriting interface {
	// Inherited reports whether anything was there.
	Inherited() bool
	// GiveBack leaves what was there to whom it was of. It is for a start that is
	// refused; after it the datapath can only be closed.
	GiveBack(ctx context.Context) error
}
