// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/driver"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
)

// AddAddress puts a service's address on the bridge, and has the network told.
func (d *Driver) AddAddress(_ context.Context, n *model.Network, a netip.Addr) error {
	if err := d.links.AddServiceAddress(n.Device(), a); err != nil {
		return err
	}
	send, err := d.links.AnnounceServiceAddress(n.Device(), a)
	d.sendAnnouncement(send, err, "address", a, "network", n.Name)
	return nil
}

// RemoveAddress takes a service's address off the bridge.
func (d *Driver) RemoveAddress(_ context.Context, n *model.Network, a netip.Addr) error {
	return d.links.RemoveServiceAddress(n.Device(), a)
}

// SetAddresses makes the services' addresses on the bridge be these.
func (d *Driver) SetAddresses(_ context.Context, n *model.Network, all []netip.Addr) error {
	return d.links.SetServiceAddresses(n.Device(), n.ID, all)
}

// AddressesWhole reports whether the bridge has the addresses.
func (d *Driver) AddressesWhole(made link.Device, all []netip.Addr, s driver.Seen) bool {
	has := make(map[netip.Addr]bool, len(s.Addresses[made.Index]))
	for _, p := range s.Addresses[made.Index] {
		has[p.Addr()] = true
	}
	for _, a := range all {
		if !has[a] {
			return false
		}
	}
	return true
}
