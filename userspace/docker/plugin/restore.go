// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fairway-project/fairway/userspace/link"
)

const (
	// settleEvery is the pause between two attempts to have the datapath take what
	// it refused.
	settleEvery = time.Second
	// longestWait is how long leftovers stay at most because of that.
	longestWait = 10 * time.Second
)

// Start makes the kernel and the datapath have what the driver's file says, and
// forgets endpoints whose devices went with their container or with the host. The
// datapath has to know the host already. What can't be made again is told by
// Degraded; an error means that the file can't be written.
func (d *Driver) Start(ctx context.Context) error {
	d.busy.Lock()
	defer d.busy.Unlock()
	d.logTakenOver()
	settled, err := d.settle(ctx, false)
	if err != nil {
		return err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.cancel = cancel
	if !settled {
		d.background.Go(func() { d.settleLater(running) })
	}
	return d.startReconcile(running)
}

// settle restores and, if it is the driver's to do, sweeps. What an earlier process
// had is better than nothing for what the datapath refused, so that nothing is swept
// then, but for the last attempt.
func (d *Driver) settle(ctx context.Context, last bool) (settled bool, err error) {
	known, err := d.restore(ctx)
	if err != nil {
		return true, err
	}
	if !known && !last {
		return false, nil
	}
	if !d.Sweep {
		return true, nil
	}
	err = d.Datapath.Sweep(ctx)
	d.report("leftovers of an earlier daemon", err)
	return err == nil, nil
}

// settleLater tries again until what is left of an earlier daemon is swept.
func (d *Driver) settleLater(ctx context.Context) {
	begun := time.Now()
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		leave, err := d.enter()
		if err != nil {
			return
		}
		settled, err := d.settle(context.WithoutCancel(ctx), time.Since(begun) > longestWait)
		leave()
		if err != nil {
			d.Log.Error("docker plugin: not restored", "err", err)
		} else if settled {
			return
		}
	}
}

// restore reports whether the datapath knows all networks and endpoints now. A host
// port that somebody else has taken is told, but takes nothing from that.
func (d *Driver) restore(ctx context.Context) (known bool, err error) {
	known = true
	for _, id := range slices.Sorted(maps.Keys(d.file.Networks)) {
		n := d.file.Networks[id]
		err := d.apply(ctx, n)
		d.report("network "+n.Name, err)
		known = known && err == nil
	}
	d.hostChanged(ctx)
	for _, id := range slices.Sorted(maps.Keys(d.file.Endpoints)) {
		e := d.file.Endpoints[id]
		if e.SandboxKey == "" {
			continue
		}
		gone, err := d.restoreEndpoint(ctx, e)
		if gone {
			if err := d.removeEndpoint(ctx, e); err != nil {
				return false, err
			}
			continue
		}
		d.report("endpoint "+shortID(id), errors.Join(d.reserve(e), err))
		known = known && err == nil
	}
	return known, nil
}

// restoreEndpoint takes an endpoint over as it is. One that was joined and has no
// device any more is gone.
func (d *Driver) restoreEndpoint(ctx context.Context, e *endpoint) (gone bool, err error) {
	dev, err := d.Links.Find(e.HostIf)
	if errors.Is(err, link.ErrNotFound) || err == nil && dev.Owner != e.ID {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, d.guard(ctx, e, dev)
}

// reserve holds the host ports of an endpoint again.
func (d *Driver) reserve(e *endpoint) error {
	var errs []error
	for _, f := range d.ports.Restore(e.ID, e.Published) {
		errs = append(errs, fmt.Errorf("published port is not reserved on the host: %w", f))
	}
	return errors.Join(errs...)
}
