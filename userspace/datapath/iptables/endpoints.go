// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// EnsureEndpoint makes the endpoint's rules and lets its bridge port send frames
// back where they came from, for containers that reach themselves by a
// published port.
func (d *Datapath) EnsureEndpoint(ctx context.Context, e datapath.Endpoint) error {
	return d.inside(ctx, func(ctx context.Context) error {
		if _, ok := d.state.networks[e.NetworkID]; !ok {
			return fmt.Errorf("endpoint %s: network %s: %w", e.ID, e.NetworkID, ErrUnknown)
		}
		if err := datapath.CheckHere(e); err != nil {
			return err
		}
		if err := setHairpin(e.HostIf, e.HostIndex); err != nil {
			return fmt.Errorf("endpoint %s: %w", e.ID, err)
		}
		was, known := d.state.endpoints[e.ID]
		services := d.state.servicesOf("", e.ID)
		rules := func(f Family) []Rule {
			return append(d.state.rulesOfEndpoint(f, e.ID), d.state.rulesOfServices(f, d.proxy, services...)...)
		}
		old := perFamily(rules)
		d.state.endpoints[e.ID] = e
		_, err := d.changeAll(ctx, old, perFamily(rules), func() {
			if delete(d.state.endpoints, e.ID); known {
				d.state.endpoints[e.ID] = was
			}
		})
		if err != nil {
			return fmt.Errorf("endpoint %s: %w", e.ID, err)
		}
		d.choose(services...)
		return nil
	})
}

func setHairpin(name string, index int) error {
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Errorf("device %s (index %d): %w", name, index, err)
	}
	if err := netlink.LinkSetHairpin(link, true); err != nil {
		return fmt.Errorf("device %s: hairpin mode: %w", name, err)
	}
	return nil
}

// DeleteEndpoint removes the endpoint's rules and ports, then every tracked
// connection of its addresses.
func (d *Datapath) DeleteEndpoint(ctx context.Context, id string) error {
	return d.inside(ctx, func(ctx context.Context) error {
		e, ok := d.state.endpoints[id]
		if !ok {
			return nil
		}
		ports := d.state.ports[id]
		services := d.state.servicesOf("", id)
		rules := func(f Family) []Rule {
			return slices.Concat(d.state.rulesOfPorts(f, id, d.proxy), d.state.rulesOfEndpoint(f, id),
				d.state.rulesOfServices(f, d.proxy, services...))
		}
		old := perFamily(rules)
		delete(d.state.endpoints, id)
		delete(d.state.ports, id)
		_, err := d.changeAll(ctx, old, perFamily(rules), func() {
			d.state.endpoints[id], d.state.ports[id] = e, ports
		})
		if err != nil {
			return fmt.Errorf("endpoint %s: %w", id, err)
		}
		d.proxy.release(id)
		d.choose(services...)
		if err := purgeAddresses(e.IPv4, e.IPv6); err != nil {
			return fmt.Errorf("endpoint %s: %w", id, err)
		}
		return nil
	})
}
