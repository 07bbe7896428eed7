// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
)

// carrierTimeout is ample: the kernel looks at a veth's carrier at once, in a
// worker of its own.
const carrierTimeout = time.Second

// AwaitCarrier waits until the kernel has seen that the other end of a veth is up.
// Only then does its bridge forward: what the container sends before is lost, and
// it asks again for its gateway's MAC address after a whole second.
func (h *Host) AwaitCarrier(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, carrierTimeout)
	defer cancel()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		l, err := find(h.nl, name)
		if err != nil {
			return err
		}
		if l.Attrs().OperState == netlink.OperUp {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("device %s: is %s, not up: %w", name, l.Attrs().OperState, ctx.Err())
		case <-ticker.C:
		}
	}
}
