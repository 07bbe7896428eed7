// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"context"
	"fmt"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
)

// Still is the part of a driver whose one network has no device and no endpoints: who is
// on it has the namespace that the sandbox's mode says.
type Still struct {
	Name model.Driver
	// Network is what its network is called.
	Network string
}

// About says that there are no endpoints and no networks of users.
func (s Still) About() About { return About{Name: s.Name} }

// Validate refuses: there is one network, which is there already.
func (s Still) Validate(*Wish) error {
	return fmt.Errorf("driver %q: only one instance of this network is allowed", s.Name)
}

// Predefined returns the one network.
func (s Still) Predefined(id string) *model.Network {
	return &model.Network{ID: id, Name: s.Network, Driver: s.Name}
}

// Make makes nothing.
func (Still) Make(context.Context, *model.Network) (link.Device, error) { return link.Device{}, nil }

// Told tells the datapath nothing.
func (Still) Told(*model.Network, link.Device) *datapath.Network { return nil }

// Remove removes nothing.
func (Still) Remove(context.Context, *model.Network) error { return nil }

// Attach refuses.
func (s Still) Attach(_ context.Context, p Plug) (link.Device, error) {
	return link.Device{}, s.none(p)
}

// Restore refuses.
func (s Still) Restore(_ context.Context, p Plug) (link.Device, error) {
	return link.Device{}, s.none(p)
}

// Detach has nothing to detach.
func (Still) Detach(context.Context, Plug) error { return nil }

func (s Still) none(p Plug) error {
	return fmt.Errorf("network %s: driver %s has no endpoints", p.Network.Name, s.Name)
}
