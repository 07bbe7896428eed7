// SPDX-License-Identifier: Apache-2.0

package datapath

import "context"

// Guarding is a datapath that carries networks whose devices others make: a Docker Engine,
// which tells of an endpoint after its device is there.
type Guarding interface {
	// Guard refuses everything that passes a container's device for as long as
	// no endpoint was ensured for it. A device that has an endpoint stays as it
	// is; one that is gone is not an error.
	Guard(ctx context.Context, device string, index int) error
}
