// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/request"
)

// Uninstall removes every sandbox, network and trace of the datapath from the
// kernel; with purge, also the stored networks. It tells removed one line per thing
// removed, one at a time. Meanwhile nothing new is made, nor after an error once the
// datapath is being removed; after an earlier one, networks that are left work again.
// Adopted namespaces stay, without Fairway's interfaces.
func (e *Engine) Uninstall(ctx context.Context, purge bool, removed func(string)) error {
	if err := e.gate.close(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	err := e.uninstall(ctx, purge, removed)
	if err != nil {
		e.gate.open()
	}
	if err != nil && !e.Wanted.Stopped() {
		e.restoreNetworks(ctx)
		e.remakeServices(ctx)
	}
	return err
}

func (e *Engine) uninstall(ctx context.Context, purge bool, removed func(string)) error {
	removed = oneByOne(removed)
	if err := abreast(e.state.bySeniority(), func(sb *model.Sandbox) error {
		err := e.Remove(ctx, sb.ID, true)
		if err != nil && !errors.Is(err, request.ErrNotFound) {
			return fmt.Errorf("sandbox %s: %w", sb.Name, err)
		}
		removed("sandbox " + sb.Name)
		return nil
	}); err != nil {
		return err
	}
	if err := abreast(e.state.allServices(), func(s *model.Service) error {
		if err := e.uninstallService(ctx, s, purge); err != nil {
			return err
		}
		removed("service " + s.Name)
		return nil
	}); err != nil {
		return err
	}
	if err := abreast(e.state.subnetted(), func(n *model.Network) error {
		if err := e.uninstallNetwork(ctx, n, purge); err != nil {
			return err
		}
		removed(fmt.Sprintf("network %s (device %s)", n.Name, n.Device()))
		return nil
	}); err != nil {
		return err
	}
	if err := e.uninstallDatapath(ctx); err != nil {
		return err
	}
	removed(fmt.Sprintf("datapath %s", e.datapath.Mode()))
	e.purged.Store(purge)
	return nil
}

// oneByOne makes f safe to be called from several goroutines.
func oneByOne(f func(string)) func(string) {
	var mu sync.Mutex
	return func(line string) {
		mu.Lock()
		defer mu.Unlock()
		f(line)
	}
}

func (e *Engine) uninstallDatapath(ctx context.Context) error {
	// The watcher sees the devices go, and must not have the datapath start anew.
	e.hostLook.Lock()
	e.uninstalled = true
	e.hostLook.Unlock()
	e.Wanted.Stop()
	return errors.Join(e.Wanted.Uninstall(ctx, true), netns.RemoveDir(e.netnsDir()), e.boxes.RemoveAll())
}

// uninstallNetwork takes a network out of the kernel. It stays in the store
// unless purge, for a later start of the daemon.
func (e *Engine) uninstallNetwork(ctx context.Context, n *model.Network, purge bool) error {
	defer e.locks.network(n.ID)()
	if err := e.tearDownNetwork(ctx, n); err != nil {
		return err
	}
	e.audit.NetworkRemoved(n)
	e.owner.Report(networkSubject(n), nil)
	if !purge {
		return nil
	}
	return e.commit(change{goneNetworks: []string{n.ID}, goneEndpoints: e.state.elsewhere(n.ID)})
}

// elsewhere returns the endpoints of a network that live on other hosts.
func (s *state) elsewhere(networkID string) (all []*model.Endpoint) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for id := range s.ofNetwork[networkID] {
		if ep := s.endpoints[id]; ep.Host != "" {
			all = append(all, ep)
		}
	}
	return all
}

// Purged reports whether an uninstall asked for the removal of the state on disk.
func (e *Engine) Purged() bool { return e.purged.Load() }

// TakeBack removes from the kernel and from the store what Start made, for a daemon that
// is refused after it with a state that was new, and that nobody has told to make anything.
// Devices of Fairway's that it doesn't know stay, and so do rules that were there before it.
func (e *Engine) TakeBack(ctx context.Context) error {
	// Nobody is to make again what is missing.
	e.stop()
	e.background.Wait()
	e.hostLook.Lock()
	e.uninstalled = true
	e.hostLook.Unlock()
	e.owner.Close()
	e.Wanted.Stop()
	var errs []error
	for _, n := range e.state.subnetted() {
		errs = append(errs, e.tearDownNetwork(ctx, n))
	}
	made := change{goneNetworks: slices.Collect(maps.Keys(e.state.networks))}
	return errors.Join(append(errs, e.Wanted.TakeBack(ctx), e.commit(made), netns.RemoveEmptyDir(e.netnsDir()))...)
}
