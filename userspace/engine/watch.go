// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"reflect"

	"github.com/fairway-project/fairway/userspace/link"
)

// startWatching tells the datapath of the host's uplinks and addresses, and
// again whenever they change.
func (e *Engine) startWatching(ctx context.Context) error {
	if err := e.refreshHost(ctx, true); err != nil {
		return err
	}
	w, err := e.links.NewWatcher(e.log)
	if err != nil {
		return err
	}
	w.Ignore(e.vips.has)
	e.background.Go(func() { w.Run(e.running, e.hostChanged) })
	return nil
}

// hostChanged tells the datapath what the host has become.
func (e *Engine) hostChanged(ctx context.Context) error {
	err := e.refreshHost(ctx, false)
	if ctx.Err() != nil {
		return err
	}
	e.owner.Report("uplinks", err)
	e.wake.Raise()
	return err
}

// RefreshHost looks at the host's devices and addresses, as when what another owner has
// is different.
func (e *Engine) RefreshHost(ctx context.Context) error { return e.refreshHost(ctx, false) }

func (e *Engine) scope() link.Scope { return link.Scope{Uplinks: e.Uplinks, Ignore: e.Wanted.Owns} }

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
	// The datapath is told of services' addresses with the services.
	now.Addresses = e.vips.without(now.Addresses)
	e.tellMissing(now)
	if !always && !e.hostInDoubt && reflect.DeepEqual(now, e.facts.hostNow()) {
		return nil
	}
	e.hostInDoubt = true
	if err := e.Wanted.EnsureHost(ctx, now); err != nil {
		return fmt.Errorf("uplinks: %w", err)
	}
	e.hostInDoubt = false
	e.tellUplinks(now)
	e.facts.host.Store(&now)
	return nil
}
