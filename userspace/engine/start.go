// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
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
	e.logTakenOver()
	if err := netns.PrepareDir(e.netnsDir()); err != nil {
		return err
	}
	if e.Sweep {
		if err := e.pruneDevices(nobodys); err != nil {
			return err
		}
	}
	if err := e.startWatching(ctx); err != nil {
		return err
	}
	e.reserveForTenant()
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
	if err := e.prune(ctx); err != nil {
		e.log.Error("leftovers not removed", "err", err)
		e.health.report("leftovers of an earlier daemon", err)
	}
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
	for name, driver := range map[string]model.Driver{
		model.NetworkHost: model.DriverHost, model.NetworkNone: model.DriverNull,
	} {
		if !e.state.hasNetwork(name) {
			if err := e.commit(change{networks: []*model.Network{predefined(name, driver)}}); err != nil {
				return err
			}
		}
	}
	if e.state.hasNetwork(model.NetworkBridge) {
		return nil
	}
	n, want := defaultNetwork()
	return e.makeNetwork(ctx, n, want)
}

func (s *state) hasNetwork(name string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.networkNamed(name) != nil
}

func (e *Engine) restoreNetworks(ctx context.Context) {
	for _, n := range e.state.bridgeNetworks() {
		e.reportNetwork(n, e.applyNetwork(ctx, n))
	}
}

// reportNetwork is reportSandbox for a network.
func (e *Engine) reportNetwork(n *model.Network, err error) {
	if news := e.health.report(networkSubject(n), err); news && err != nil {
		e.log.Error("network not restored", "network", n.Name, "err", err)
	}
}

func networkSubject(n *model.Network) string { return "network " + n.Name }

func (s *state) bridgeNetworks() []*model.Network {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*model.Network
	for _, n := range s.networks {
		if n.Driver == model.DriverBridge {
			out = append(out, n)
		}
	}
	return out
}

// prune removes what an earlier daemon left and nothing stored wants.
func (e *Engine) prune(ctx context.Context) error {
	var err error
	if e.Tenant == nil {
		err = e.datapath.Prune(ctx, e.desired())
	}
	return errors.Join(
		err,
		e.pruneDevices(e.tenantOwns),
		e.pruneNamespaces(),
		e.pruneFiles(),
	)
}

// desired is all that the datapath should have.
func (e *Engine) desired() datapath.Desired {
	d := datapath.Desired{Ports: make(map[string][]datapath.Port)}
	for _, n := range e.state.bridgeNetworks() {
		d.Networks = append(d.Networks, datapathNetwork(n, e.facts.bridge(n.ID)))
	}
	for _, sb := range e.state.bySeniority() {
		all := e.state.attachments(sb.ID)
		for _, a := range all {
			d.Endpoints = append(d.Endpoints, e.datapathEndpoint(sb, a, e.facts.endpointIndex(a.ep.ID)))
		}
		for id, ports := range derivePorts(sb, all) {
			d.Ports[id] = ports
		}
		if r := e.resolvers.get(sb.ID); r != nil {
			d.Resolvers = append(d.Resolvers, datapathResolver(sb, r))
		}
	}
	return d
}

// pruneDevices removes the devices of Fairway's that nobody knows; those that
// spared says yes to are somebody's.
func (e *Engine) pruneDevices(spared func(device string) bool) error {
	if e.Others {
		return nil
	}
	owned, err := e.links.Owned()
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range owned {
		if !e.state.knows(d.Owner) && !spared(d.Name) {
			errs = append(errs, e.links.Delete(d.Name, d.Owner))
		}
	}
	return errors.Join(errs...)
}

// knows reports whether id is a network's or an endpoint's.
func (s *state) knows(id string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.networks[id] != nil || s.endpoints[id] != nil
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
