// SPDX-License-Identifier: Apache-2.0

package datapath

import "context"

// Shared is a datapath that carries networks of others beside the engine's: of a
// Docker Engine, which makes its devices itself. Not every implementation is one.
type Shared interface {
	Datapath

	// Guard refuses everything that passes a container's device for as long as
	// no endpoint was ensured for it. A device that has an endpoint stays as it
	// is; one that is gone is not an error.
	Guard(ctx context.Context, device string, index int) error
}
