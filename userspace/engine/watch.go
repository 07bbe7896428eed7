// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"reflect"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// startWatching tells the datapath of the host's uplinks and addresses, and
// again whenever they change.
func (e *Engine) startWatching(ctx context.Context) error {
	if err := e.refreshHost(ctx, true); err != nil {
		return err
	}
	w, err := e.links.NewWatcher(e.scope(), e.log)
	if err != nil {
		return err
	}
	e.background.Go(func() {
		w.Run(e.running, func(datapath.Host) {
			// What it saw may be older than what an edit told the datapath
			// meanwhile, so it only gives the occasion to look.
			err := e.refreshHost(e.running, false)
			if err != nil && e.running.Err() == nil {
				e.log.Error("change of the host's devices or addresses", "err", err)
			}
			if e.running.Err() == nil {
				e.health.report("uplinks", err)
			}
			e.wakeUp()
		})
	})
	return nil
}

// refreshHost looks at the host's devices and addresses and tells the datapath
// if they are not what it knows, or always.
func (e *Engine) refreshHost(ctx context.Context, always bool) error {
	e.hostLook.Lock()
	defer e.hostLook.Unlock()
	if e.uninstalled {
		return nil
	}
	now, err := e.links.Observe(e.scope())
	if err != nil {
		return err
	}
	if !always && reflect.DeepEqual(now, e.facts.hostNow()) {
		return nil
	}
	if err := e.datapath.EnsureHost(ctx, now); err != nil {
		return fmt.Errorf("uplinks: %w", err)
	}
	e.facts.setHost(now)
	return nil
}
