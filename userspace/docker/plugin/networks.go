// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/fairway-project/fairway/userspace/driver/bridge"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
	"github.com/fairway-project/fairway/userspace/wanted"
)

// gwAllocCheck tells Docker 28 and later which families need no gateway address.
func (d *Driver) gwAllocCheck(_ context.Context, r gwAllocCheck) (gwAllocAnswer, error) {
	if _, err := policy.ParseBridge("", r.Options.Generic); err != nil {
		return gwAllocAnswer{}, fmt.Errorf("%w: %w", errRequest, err)
	}
	isolated := func(key string) bool { return r.Options.Generic[key] == string(model.GatewayIsolated) }
	return gwAllocAnswer{
		SkipIPv4: isolated(model.OptGatewayMode4),
		SkipIPv6: isolated(model.OptGatewayMode6),
	}, nil
}

// createNetwork makes the bridge of a network, or sees that it is there.
func (d *Driver) createNetwork(ctx context.Context, r createNetwork) error {
	n, err := planNetwork(r)
	if err != nil {
		return err
	}
	leave, err := d.enter()
	if err != nil {
		return err
	}
	defer leave()
	if have := d.records.Networks[n.ID]; have != nil {
		if !sameNetwork(have, n) {
			return fmt.Errorf("%w: network %s: exists already and is another", errRequest, n.Name)
		}
		return d.apply(ctx, have)
	}
	if err := d.checkBridgeName(n); err != nil {
		return err
	}
	// Stored first: a bridge that nobody knows of would stay.
	if err := d.commit(func(r *records) { r.Networks[n.ID] = n }); err != nil {
		return err
	}
	if err := d.apply(ctx, n); err != nil {
		return errors.Join(err, d.removeNetwork(ctx, n))
	}
	d.audit.NetworkCreated(&n.Network)
	d.hostChanged(ctx)
	return nil
}

func sameNetwork(have, want *network) bool {
	x, y := have.Network, want.Network
	x.Created = y.Created
	if len(x.Options) == 0 && len(y.Options) == 0 {
		x.Options, y.Options = nil, nil
	}
	return reflect.DeepEqual(x, y)
}

func (d *Driver) checkBridgeName(n *network) error {
	for _, other := range d.records.Networks {
		if other.Device() == n.Device() {
			return fmt.Errorf("%w: network %s: bridge %s is network %s's", errRequest, n.Name, n.Device(), other.Name)
		}
	}
	return nil
}

// apply makes the kernel have the network's bridge and the datapath know it.
func (d *Driver) apply(ctx context.Context, n *network) error {
	dev, err := d.Links.EnsureBridge(bridge.Of(&n.Network))
	if err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	err = d.owner.PutNetwork(ctx, wanted.Network{Network: n.Network, Told: bridge.Told(&n.Network, dev)})
	if err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	d.bridges[n.ID] = dev.Index
	return nil
}

// deleteNetwork removes a network and what is left in it.
func (d *Driver) deleteNetwork(ctx context.Context, r networkRef) error {
	leave, err := d.enter()
	if err != nil {
		return err
	}
	defer leave()
	n := d.records.Networks[r.NetworkID]
	if n == nil {
		return nil
	}
	if err := d.removeNetwork(ctx, n); err != nil {
		return err
	}
	d.audit.NetworkRemoved(&n.Network)
	d.hostChanged(ctx)
	return nil
}

// removeNetwork forgets the network last: what fails is tried again.
func (d *Driver) removeNetwork(ctx context.Context, n *network) error {
	for _, e := range d.endpointsOf(n.ID) {
		if err := d.removeEndpoint(ctx, e); err != nil {
			return err
		}
	}
	if err := d.owner.DeleteNetwork(ctx, n.ID); err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	if err := d.Links.DeleteBridge(n.Device(), n.ID); err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	delete(d.bridges, n.ID)
	d.owner.Report("network "+n.Name, nil)
	if err := d.commit(func(r *records) { delete(r.Networks, n.ID) }); err != nil {
		return err
	}
	d.tellUnserved()
	return nil
}
