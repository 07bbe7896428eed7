// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"fmt"

	"github.com/fairway-project/fairway/userspace/datapath"
)

var _ datapath.Serving = (*Datapath)(nil)

// EnsureService replaces the service's rules in one transaction per family. What chooses
// a backend is a rule in nat, which only the first packet of a flow passes: flows go on
// as they are until their entries are deleted.
func (d *Datapath) EnsureService(ctx context.Context, s datapath.Service) error {
	return d.inside(ctx, func(ctx context.Context) error {
		if err := d.ensureService(ctx, s); err != nil {
			return fmt.Errorf("service %q: %w", s.Name, err)
		}
		return nil
	})
}

func (d *Datapath) ensureService(ctx context.Context, s datapath.Service) error {
	if err := d.prepare(ctx); err != nil {
		return err
	}
	for _, fr := range s.Fronts {
		if _, ok := d.state.networks[fr.NetworkID]; !ok && fr.NetworkID != "" {
			return fmt.Errorf("network %s: %w", fr.NetworkID, ErrUnknown)
		}
		if n, ok := d.state.networks[fr.NetworkID]; ok {
			if err := forwardInside(&n); err != nil {
				return err
			}
		}
		if fr.Pool < 0 || fr.Pool >= len(s.Pools) {
			return fmt.Errorf("port %s of %s: pool %d of %d: %w", fr.Port, fr.Addr, fr.Pool, len(s.Pools), ErrUnknown)
		}
	}
	was, known := d.state.services[s.ID]
	before, _ := d.state.served(s.ID)
	rules := func(f Family) []Rule { return d.state.rulesOfServices(f, d.proxy, s.ID) }
	old := perFamily(rules)
	replaced, err := d.proxy.serve(serviceOwner(s.ID), d.proxiedFronts(&s))
	if err != nil {
		return err
	}
	d.state.services[s.ID] = s
	_, err = d.changeAll(ctx, old, perFamily(rules), func() {
		if delete(d.state.services, s.ID); known {
			d.state.services[s.ID] = was
		}
		replaced.undo()
	})
	if err != nil {
		return err
	}
	replaced.keep()
	d.choose(s.ID)
	after, _ := d.state.served(s.ID)
	return d.purgeService(&before, &after)
}

// DeleteService removes the service's rules and ends the flows through it.
func (d *Datapath) DeleteService(ctx context.Context, id string) error {
	return d.inside(ctx, func(ctx context.Context) error {
		was, ok := d.state.services[id]
		if !ok {
			return nil
		}
		rules := func(f Family) []Rule { return d.state.rulesOfServices(f, d.proxy, id) }
		old := perFamily(rules)
		delete(d.state.services, id)
		_, err := d.changeAll(ctx, old, perFamily(rules), func() { d.state.services[id] = was })
		if err == nil {
			d.proxy.release(serviceOwner(id))
			err = d.purgeFronts(was.Fronts)
		}
		if err != nil {
			return fmt.Errorf("service %q: %w", was.Name, err)
		}
		return nil
	})
}
