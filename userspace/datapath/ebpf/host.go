// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"slices"

	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/userspace/model"
)

// EnsureHost implements datapath.Datapath. Every call makes the flows ask for
// their routes again, since it is what tells of changes to them.
func (d *Datapath) EnsureHost(_ context.Context, h model.Host) error {
	return d.edit(func() error { return d.ensureHost(h) })
}

func (d *Datapath) ensureHost(h model.Host) error {
	d.addresses.say(h)
	if err := d.syncAddresses(); err != nil {
		return err
	}
	devices := slices.DeleteFunc(slices.Clone(h.Uplinks), func(u model.Uplink) bool { return d.networks.isBridge(u.Index) })
	err := d.uplinks.ensure(devices)
	// Flows with sources that are lost are ended after this: no new one may take such
	// a source from an uplink that still has it.
	return errors.Join(
		err,
		d.networks.syncTrusted(d.uplinks.names),
		d.uplinks.drop(),
		d.addresses.table.NewRoutes(),
		d.frames.retry(),
		d.listeners.devicesChanged(),
	)
}

// syncAddresses follows what EnsureHost and the networks' gateways say.
func (d *Datapath) syncAddresses() error {
	want := d.networks.gateways(d.addresses.known)
	for addr, network := range d.services.addresses() {
		want[addr] = host.Gateway(network)
	}
	return d.addresses.sync(want)
}
