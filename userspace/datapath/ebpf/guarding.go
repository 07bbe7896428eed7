// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/datapath"
)

var _ datapath.Guarding = (*Datapath)(nil)

// Guard implements datapath.Guarding. Programs without an endpoint drop everything
// as unmanaged.
func (d *Datapath) Guard(_ context.Context, device string, index int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.programs.guard(index)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("device %s: %w", device, err)
	}
	if !d.endpoints.indexes()[index] {
		d.programs.leave(index)
	}
	return nil
}
