// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/fairway-project/fairway/userspace/link"
)

// Start makes the kernel and the datapath have what the driver's file says, and
// forgets endpoints whose devices went with their container or with the host. The
// datapath has to know the host already. What can't be made again is told by
// Degraded; an error means that the file can't be written.
func (d *Driver) Start(ctx context.Context) error {
	d.busy.Lock()
	defer d.busy.Unlock()
	for _, id := range slices.Sorted(maps.Keys(d.file.Networks)) {
		n := d.file.Networks[id]
		d.report("network "+n.Name, d.apply(ctx, n))
	}
	d.hostChanged(ctx)
	for _, id := range slices.Sorted(maps.Keys(d.file.Endpoints)) {
		e := d.file.Endpoints[id]
		gone, err := d.restoreEndpoint(ctx, e)
		if gone {
			if err := d.removeEndpoint(ctx, e); err != nil {
				return err
			}
			continue
		}
		d.report("endpoint "+shortID(id), err)
	}
	if d.Sweep && len(d.troubles) == 0 {
		d.report("leftovers of an earlier daemon", d.Datapath.Sweep(ctx))
	}
	return d.startReconcile(ctx)
}

// restoreEndpoint takes an endpoint over as it is. One that was joined and has no
// device any more is gone.
func (d *Driver) restoreEndpoint(ctx context.Context, e *endpoint) (gone bool, err error) {
	if e.SandboxKey == "" {
		return false, nil
	}
	dev, err := d.Links.Find(e.HostIf)
	if errors.Is(err, link.ErrNotFound) || err == nil && dev.Owner != e.ID {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	var errs []error
	for _, f := range d.ports.Restore(e.ID, e.Published) {
		errs = append(errs, fmt.Errorf("published port is not reserved on the host: %w", f))
	}
	return false, errors.Join(append(errs, d.guard(ctx, e, dev))...)
}
