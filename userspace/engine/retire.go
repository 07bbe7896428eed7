// SPDX-License-Identifier: Apache-2.0

package engine

import "context"

// Retired tells the datapath of the host and of the networks again, as they are now:
// another datapath that was removed put settings back that the present one needs,
// forwarding for one. It is called after Start.
func (e *Engine) Retired(ctx context.Context) error {
	if err := e.refreshHost(ctx, true); err != nil {
		return err
	}
	e.restoreNetworks(ctx)
	return nil
}
