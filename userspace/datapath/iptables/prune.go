// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// Prune makes the tables equal to want: what an earlier daemon left goes, what
// another program removed comes back. Connections of addresses that no endpoint
// has any more end.
func (d *Datapath) Prune(ctx context.Context, want datapath.Desired) error {
	gone := d.resolversWithout(want)
	err := d.inside(ctx, func(ctx context.Context) error {
		if err := d.prepare(ctx); err != nil {
			return err
		}
		d.releaseWithout(want)
		resolvers := d.state.resolvers
		d.state = stateOf(d.state, want)
		d.state.resolvers = resolvers
		if err := d.serveAll(); err != nil {
			return err
		}
		if err := d.makeEqual(ctx); err != nil {
			return err
		}
		return d.purgeStrangers()
	})
	errs := []error{err}
	for _, id := range gone {
		errs = append(errs, d.DeleteResolver(ctx, id))
	}
	return errors.Join(errs...)
}

// resolversWithout lists the resolvers that want lacks.
func (d *Datapath) resolversWithout(want datapath.Desired) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	wanted := make(map[string]bool)
	for _, r := range want.Resolvers {
		wanted[r.SandboxID] = true
	}
	var gone []string
	for id := range d.state.resolvers {
		if !wanted[id] {
			gone = append(gone, id)
		}
	}
	return gone
}

// releaseWithout ends the proxy's share of endpoints and services that want lacks.
func (d *Datapath) releaseWithout(want datapath.Desired) {
	wanted := make(map[string]bool)
	for _, e := range want.Endpoints {
		wanted[e.ID] = true
	}
	for _, s := range want.Services {
		wanted[serviceOwner(s.ID)] = true
	}
	for _, owner := range d.proxyOwners() {
		if !wanted[owner] {
			d.proxy.release(owner)
		}
	}
}

// proxyOwners are all that may have a share in the proxy.
func (d *Datapath) proxyOwners() []string {
	owners := slices.Collect(maps.Keys(d.state.endpoints))
	for id := range d.state.services {
		owners = append(owners, serviceOwner(id))
	}
	return owners
}

// serveAll gives the ports of every endpoint and service to the proxy that need it.
func (d *Datapath) serveAll() error {
	for id := range d.state.endpoints {
		r, err := d.proxy.serve(id, d.proxied(id, d.state.ports[id]))
		if err != nil {
			return fmt.Errorf("endpoint %s: %w", id, err)
		}
		r.keep()
	}
	for id, svc := range d.state.services {
		r, err := d.proxy.serve(serviceOwner(id), d.proxiedFronts(&svc))
		if err != nil {
			return fmt.Errorf("service %q: %w", svc.Name, err)
		}
		r.keep()
		d.choose(id)
	}
	return nil
}

// makeEqual leaves no rule of Fairway's that the state doesn't have. UDP
// connections by publications that went end, and all by services' fronts that did.
func (d *Datapath) makeEqual(ctx context.Context) error {
	var changes [len(families)]delta
	var gone []datapath.Front
	for _, f := range families {
		k := &d.kernel[f]
		if !k.ready {
			continue
		}
		cur, err := d.bins.readTables(ctx, f)
		if err != nil {
			return err
		}
		want := d.state.ruleset(f, d.proxy, k.facts)
		if err := d.bins.apply(ctx, f, plan(cur, want, nil)); err != nil {
			return err
		}
		k.leftover, k.torn, k.whole = nil, false, 0
		current, _ := cur.chain(tableNAT, chainDocker)
		changes[f] = diff(fromSaved(tableNAT, chainDocker, current), want.Chain(tableNAT, chainDocker))
		entries, _ := cur.chain(tableNAT, chainServices)
		gone = append(gone, without(frontsIn(f, specs(entries)), frontsIn(f, texts(want.Chain(tableNAT, chainServices))))...)
	}
	return errors.Join(d.purgeUDP(changes), d.purgeFronts(without(gone, d.state.fronts())))
}
