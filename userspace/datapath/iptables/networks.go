// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"fmt"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// perFamily collects rules for both families.
func perFamily(rules func(Family) []Rule) [len(families)][]Rule {
	var out [len(families)][]Rule
	for _, f := range families {
		out[f] = rules(f)
	}
	return out
}

// EnsureHost remembers the host's addresses, by which flows to published ports
// are told from others.
func (d *Datapath) EnsureHost(ctx context.Context, h model.Host) error {
	return d.inside(ctx, func(ctx context.Context) error {
		d.state.host = h
		return d.prepare(ctx)
	})
}

// EnsureNetwork makes the network's rules, turns forwarding on for its families
// and lets bridged frames pass the rules.
func (d *Datapath) EnsureNetwork(ctx context.Context, n datapath.Network) error {
	return d.inside(ctx, func(ctx context.Context) error {
		if err := d.prepare(ctx); err != nil {
			return err
		}
		if err := d.prepareHost(ctx, &n); err != nil {
			return fmt.Errorf("network %q: %w", n.Name, err)
		}
		if err := d.replaceNetwork(ctx, n); err != nil {
			return fmt.Errorf("network %q: %w", n.Name, err)
		}
		if len(d.state.servicesOf(n.ID)) == 0 {
			return nil
		}
		// Its device may be a new one.
		return forwardInside(&n)
	})
}

// replaceNetwork replaces all rules that depend on the network, its endpoints' too.
func (d *Datapath) replaceNetwork(ctx context.Context, n datapath.Network) error {
	was, known := d.state.networks[n.ID]
	rules := func(f Family) []Rule { return d.rulesBelow(f, n.ID) }
	old := perFamily(rules)
	d.state.networks[n.ID] = n
	_, err := d.changeAll(ctx, old, perFamily(rules), func() {
		if delete(d.state.networks, n.ID); known {
			d.state.networks[n.ID] = was
		}
	})
	return err
}

// rulesBelow are the rules of a network with its endpoints, their ports and services.
func (d *Datapath) rulesBelow(f Family, id string) []Rule {
	rules := d.state.rulesOfNetwork(f, id)
	below := d.state.endpointsOf(id)
	for _, eid := range below {
		rules = append(rules, d.state.rulesOfEndpoint(f, eid)...)
		rules = append(rules, d.state.rulesOfPorts(f, eid, d.proxy)...)
	}
	return append(rules, d.state.rulesOfServices(f, d.proxy, d.state.servicesOf(id, below...)...)...)
}

// DeleteNetwork removes the network's rules.
func (d *Datapath) DeleteNetwork(ctx context.Context, id string) error {
	return d.inside(ctx, func(ctx context.Context) error {
		n, ok := d.state.networks[id]
		if !ok {
			return nil
		}
		services := d.state.servicesOf(id, d.state.endpointsOf(id)...)
		rules := func(f Family) []Rule {
			return append(d.state.rulesOfNetwork(f, id), d.state.rulesOfServices(f, d.proxy, services...)...)
		}
		old := perFamily(rules)
		delete(d.state.networks, id)
		_, err := d.changeAll(ctx, old, perFamily(rules), func() { d.state.networks[id] = n })
		if err != nil {
			return fmt.Errorf("network %q: %w", n.Name, err)
		}
		d.choose(services...)
		return restoreBridge(n.Device.Name)
	})
}
