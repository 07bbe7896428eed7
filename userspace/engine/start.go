// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fairway-project/fairway/userspace/driver"
	"github.com/fairway-project/fairway/userspace/ipam"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/wanted"
)

// Start loads the stored state, makes the kernel match it and begins to watch
// the host. What runs is taken over as it is; what is missing is made again;
// what is nobody's is removed. An error means that nothing could be loaded or
// that the datapath refused its work; single networks and sandboxes that can't
// be restored are told in the status and tried again.
func (e *Engine) Start(ctx context.Context) error {
	loaded, err := e.store.Load()
	if err != nil {
		return err
	}
	e.load(loaded)
	e.expect()
	e.logTakenOver()
	if err := netns.PrepareDir(e.netnsDir()); err != nil {
		return err
	}
	if e.Sweep {
		if err := e.Wanted.RemoveFormer(); err != nil {
			return err
		}
	}
	if err := e.startWatching(ctx); err != nil {
		return err
	}
	e.ipam.Reserve(e.Wanted.Reserved())
	if !e.Sweep {
		if err := e.makePredefined(ctx); err != nil {
			return err
		}
	}
	e.restoreNetworks(ctx)
	if err := e.refreshHost(ctx, false); err != nil {
		return err
	}
	e.restoreSandboxes(ctx)
	e.restoreServices(ctx)
	e.owner.SaidAll(ctx, false)
	e.owner.Report("files of an earlier daemon", errors.Join(e.pruneNamespaces(), e.pruneFiles()))
	e.background.Go(e.tend)
	return nil
}

// bySeniority lists the sandboxes, owners of a namespace before their guests.
func (s *state) bySeniority() []*model.Sandbox {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*model.Sandbox
	for _, sb := range s.sandboxes {
		out = append(out, sb)
	}
	slices.SortFunc(out, func(a, b *model.Sandbox) int {
		if guest := a.SharedWith != ""; guest != (b.SharedWith != "") {
			if guest {
				return 1
			}
			return -1
		}
		return a.Created.Compare(b.Created)
	})
	return out
}

// makePredefined makes the networks that every host has, at the first start.
func (e *Engine) makePredefined(ctx context.Context) error {
	for _, d := range e.Drivers {
		p, ok := d.(driver.Predefining)
		if !ok {
			continue
		}
		n := p.Predefined(newID())
		if e.state.hasNetwork(n.Name) {
			continue
		}
		n.Created = time.Now().UTC()
		var err error
		if d.About().Endpoints {
			err = e.makeNetwork(ctx, n, ipam.NetworkRequest{ID: n.ID, Name: n.Name, Default: true, IPv4: new(ipam.SubnetRequest)})
		} else {
			err = e.commit(change{networks: []*model.Network{n}})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *state) hasNetwork(name string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.networkNamed(name) != nil
}

func (e *Engine) restoreNetworks(ctx context.Context) {
	for _, n := range e.state.subnetted() {
		e.mendNetwork(ctx, n)
	}
}

// mendNetwork makes the kernel have a network, now or, if that fails, later. It needs no
// lock of the network's: whoever looks after devices may be waiting for that to do the same.
func (e *Engine) mendNetwork(ctx context.Context, n *model.Network) {
	_ = e.owner.MendNow(ctx, networkSubject(n), func(ctx context.Context) error {
		defer e.locks.network(n.ID)()
		now := e.state.network(n.ID)
		if now == nil || e.gate.closed() {
			// Removed or uninstalled meanwhile.
			return nil
		}
		before, had := e.facts.made.find(n.ID)
		err := e.applyNetwork(ctx, now)
		if had && e.facts.made.get(n.ID).Index != before.Index {
			// Another attempt finds the new device as if it had always been there.
			e.facts.remade.set(n.ID, true)
		}
		if err == nil {
			err = e.placeAddresses(ctx, now)
		}
		if err != nil {
			return err
		}
		if e.facts.remade.get(n.ID) {
			e.tellServices(ctx, n.ID)
			e.facts.remade.forget(n.ID)
		}
		return nil
	})
}

func networkSubject(n *model.Network) string { return wanted.NetworkSubject(n.Name) }

// subnetted are the networks that have endpoints.
func (s *state) subnetted() []*model.Network {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*model.Network
	for _, n := range s.networks {
		if n.IPv4 != nil || n.IPv6 != nil {
			out = append(out, n)
		}
	}
	return out
}

// expect says what the stored state is going to want.
func (e *Engine) expect() {
	for _, n := range e.state.subnetted() {
		e.owner.ExpectNetwork(e.wish(n, link.Device{}))
	}
	for _, sb := range e.state.bySeniority() {
		all := e.state.attachments(sb.ID)
		ports := derivePorts(sb, all)
		for _, a := range all {
			e.owner.ExpectEndpoint(e.datapathEndpoint(sb, a, 0), ports[a.ep.ID])
		}
	}
	e.expectServices()
}

func (e *Engine) pruneNamespaces() error {
	entries, err := os.ReadDir(e.netnsDir())
	if err != nil {
		return fmt.Errorf("namespaces: %w", err)
	}
	wanted := make(map[string]bool)
	for _, sb := range e.state.bySeniority() {
		if sb.State.Status == model.StatusRunning {
			wanted[filepath.Base(sb.Netns)] = true
		}
	}
	var errs []error
	for _, entry := range entries {
		if !wanted[entry.Name()] {
			errs = append(errs, netns.Delete(filepath.Join(e.netnsDir(), entry.Name())))
		}
	}
	return errors.Join(errs...)
}

func (e *Engine) pruneFiles() error {
	known := make(map[string]bool)
	for _, sb := range e.state.bySeniority() {
		known[sb.ID] = true
	}
	return e.boxes.Prune(known)
}
