// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"errors"
	"fmt"

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

// releaseWithout ends the proxy's share of endpoints that want lacks.
func (d *Datapath) releaseWithout(want datapath.Desired) {
	wanted := make(map[string]bool)
	for _, e := range want.Endpoints {
		wanted[e.ID] = true
	}
	for id := range d.state.endpoints {
		if !wanted[id] {
			d.proxy.release(id)
		}
	}
}

// serveAll gives every endpoint's ports to the proxy that need it.
func (d *Datapath) serveAll() error {
	for id := range d.state.endpoints {
		s, err := d.proxy.serve(id, d.proxied(id, d.state.ports[id]))
		if err != nil {
			return fmt.Errorf("endpoint %s: %w", id, err)
		}
		s.keep()
	}
	return nil
}

// makeEqual leaves no rule of Fairway's that the state doesn't have. UDP
// connections by publications that went end.
func (d *Datapath) makeEqual(ctx context.Context) error {
	var changes [len(families)]delta
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
	}
	return d.purgeUDP(changes)
}
