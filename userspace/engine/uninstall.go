// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
)

// Uninstall removes every sandbox, network and trace of the datapath from the
// kernel; with purge, also the stored networks. One line per thing removed.
// Adopted namespaces stay, without Fairway's interfaces.
func (e *Engine) Uninstall(ctx context.Context, purge bool) ([]string, error) {
	ctx = context.WithoutCancel(ctx)
	var done []string
	for _, sb := range e.state.bySeniority() {
		if err := e.Remove(ctx, sb.ID, true); err != nil {
			return done, fmt.Errorf("sandbox %s: %w", sb.Name, err)
		}
		done = append(done, "sandbox "+sb.Name)
	}
	for _, n := range e.state.bridgeNetworks() {
		if err := e.uninstallNetwork(ctx, n, purge); err != nil {
			return done, err
		}
		done = append(done, fmt.Sprintf("network %s (device %s)", n.Name, n.Bridge.Name))
	}
	// The watcher sees the devices go, and must not have the datapath start anew.
	e.hostLook.Lock()
	e.uninstalled = true
	e.hostLook.Unlock()
	if e.Tenant != nil {
		e.Tenant.Stop()
	}
	err := errors.Join(e.pruneDevices(nobodys), e.datapath.Uninstall(ctx), netns.RemoveDir(e.netnsDir()), e.boxes.RemoveAll())
	if err != nil {
		return done, err
	}
	done = append(done, fmt.Sprintf("datapath %s", e.datapath.Mode()))
	e.purged.Store(purge)
	return done, nil
}

// uninstallNetwork takes a network out of the kernel. It stays in the store
// unless purge, for a later start of the daemon.
func (e *Engine) uninstallNetwork(ctx context.Context, n *model.Network, purge bool) error {
	defer e.locks.network(n.ID)()
	if err := e.tearDownNetwork(ctx, n); err != nil {
		return err
	}
	if !purge {
		return nil
	}
	return e.commit(change{goneNetworks: []string{n.ID}})
}

// Purged reports whether an uninstall asked for the removal of the state on disk.
func (e *Engine) Purged() bool { return e.purged.Load() }
