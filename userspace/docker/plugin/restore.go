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

// Start makes the kernel and the datapath have what the driver has stored, and
// forgets endpoints whose devices went with their container or with the host. The
// datapath has to know the host already. What can't be made again is told in the status
// and tried again.
func (d *Driver) Start(ctx context.Context) error {
	d.busy.Lock()
	d.logTakenOver()
	d.tellUnserved()
	has := d.records
	d.busy.Unlock()
	d.restore(ctx, has)
	d.owner.SaidAll(ctx, false)
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.cancel = cancel
	d.busy.Lock()
	defer d.busy.Unlock()
	return d.startReconcile(running)
}

// restore takes all over that there is. A host port that somebody else has taken is
// told, but takes nothing from that.
func (d *Driver) restore(ctx context.Context, has records) {
	for _, id := range slices.Sorted(maps.Keys(has.Networks)) {
		d.mend(ctx, "network "+has.Networks[id].Name, func(ctx context.Context) error {
			if n := d.records.Networks[id]; n != nil {
				return d.apply(ctx, n)
			}
			return nil
		})
	}
	d.hostChanged(ctx)
	for _, id := range slices.Sorted(maps.Keys(has.Endpoints)) {
		d.mend(ctx, "endpoint "+shortID(id), func(ctx context.Context) error {
			if e := d.records.Endpoints[id]; e != nil && e.SandboxKey != "" {
				return d.restoreEndpoint(ctx, e)
			}
			return nil
		})
	}
}

// tellUnserved says what is wrong with networks that no driver serves.
func (d *Driver) tellUnserved() {
	var err error
	if n := len(d.records.Networks); d.Unserved && n > 0 {
		err = fmt.Errorf("aren't answered, %d networks are carried on: start the daemon with --docker-plugin, or remove the networks", n)
	}
	d.owner.Report("docker's calls", err)
}

// mend does f as a call of Docker's would, now or, if that fails, later.
func (d *Driver) mend(ctx context.Context, subject string, f func(context.Context) error) {
	_ = d.owner.Mend(ctx, subject, func(ctx context.Context) error {
		leave, err := d.enter()
		if err != nil {
			return err
		}
		defer leave()
		return f(context.WithoutCancel(ctx))
	})
}

// restoreEndpoint takes an endpoint over as it is. One that was joined and has no
// device any more is gone.
func (d *Driver) restoreEndpoint(ctx context.Context, e *endpoint) error {
	dev, err := d.Links.Find(e.HostIf)
	if errors.Is(err, link.ErrNotFound) || err == nil && dev.Owner != e.ID {
		return d.removeEndpoint(ctx, e)
	}
	if err != nil {
		return err
	}
	d.owner.Report(portsSubject(e), d.reserve(e))
	return d.guard(ctx, e, dev)
}

// portsSubject is what an endpoint's ports are called in troubles.
func portsSubject(e *endpoint) string { return "published ports of endpoint " + shortID(e.ID) }

// reserve holds the host ports of an endpoint again.
func (d *Driver) reserve(e *endpoint) error {
	var errs []error
	for _, f := range d.ports.Restore(e.ID, e.Published) {
		errs = append(errs, fmt.Errorf("published port is not reserved on the host: %w", f))
	}
	return errors.Join(errs...)
}
