// SPDX-License-Identifier: Apache-2.0

// Package driver is the seam between who keeps networks and what makes them: devices,
// and the interfaces of sandboxes on them. Its sub-packages are the drivers.
//
// The contract that all keep:
//
//   - Make, Attach, Detach and Remove may be repeated: what is right is left alone,
//     what is gone is no error.
//   - What a driver makes on this host bears the ID of its network or endpoint
//     (package link), so that it is found again, and only such things are removed.
//   - An endpoint's device passes nothing before Plug.Guard has returned.
//   - A driver keeps no state that a new process would lack.
package driver

import (
	"context"
	"errors"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
)

// ErrNotWhole is what Restore's error wraps if the endpoint has to be attached again.
var ErrNotWhole = errors.New("not as it was made")

// Driver is a way in which endpoints reach their network. Calls for different networks
// and endpoints may run at the same time.
type Driver interface {
	About() About

	// Validate refuses a network that can't be, and fills in what its options mean. It
	// looks at nothing but the wish.
	Validate(w *Wish) error

	// Make makes what stands for the network on this host, or puts it right: the zero
	// Device if nothing does.
	Make(ctx context.Context, n *model.Network) (link.Device, error)
	// Remove takes that away.
	Remove(ctx context.Context, n *model.Network) error

	// Attach makes an interface in a namespace, and sets it up. It returns the device on
	// the host's side.
	Attach(ctx context.Context, p Plug) (link.Device, error)
	// Restore takes over what Attach made, and what an earlier process did. An error that
	// wraps ErrNotWhole says that it can't be used: Detach and Attach make it again.
	Restore(ctx context.Context, p Plug) (link.Device, error)
	// Detach removes the interface.
	Detach(ctx context.Context, p Plug) error

	// Told is what the datapath is to know of a network that has this device, the zero
	// Device while it isn't made. It is nil if the datapath carries nothing of it.
	Told(n *model.Network, made link.Device) *datapath.Network
}

// About is what there is to know of a driver.
type About struct {
	Name model.Driver
	// Endpoints says that networks have endpoints. Who is on one without has no other.
	Endpoints bool
	// Users says that users may make networks; else there is the predefined one only.
	Users bool
}

// Wish is a network that somebody would like to have.
type Wish struct {
	// Network has an ID, a name, options and whether it is internal. Validate fills in
	// what the options mean.
	Network *model.Network
	// IPv4 and IPv6 are the families that it is to have.
	IPv4, IPv6 bool
	// NoGateway4 and NoGateway6 are Validate's answer: the families in which no address
	// is set aside for a gateway.
	NoGateway4, NoGateway6 bool
}

// Plug is an endpoint that lives on this host.
type Plug struct {
	Network  *model.Network
	Endpoint *model.Endpoint
	// Made is what Make returned for the network.
	Made link.Device
	// Netns is the path of the sandbox's network namespace.
	Netns string
	// Guard is called once the device on the host's side is there, and before anything
	// passes it.
	Guard func(link.Device) error
}

// Predefining is a Driver with a network that every host has.
type Predefining interface {
	Driver
	// Predefined returns it, without subnets, as it is when it is made.
	Predefined(id string) *model.Network
}

// Tending is a Driver that tells by one look at the host whether what it made is still
// right. What isn't is made again.
type Tending interface {
	Driver
	// NetworkWhole is asked with the device that Make returned.
	NetworkWhole(n *model.Network, made link.Device, s Seen) bool
	// EndpointWhole is asked with the index of the device that Attach returned.
	EndpointWhole(e *model.Endpoint, index int, s Seen) bool
}

// Serving is a Driver whose networks may have services: what Make made has their addresses
// beside its own. Make leaves them alone.
type Serving interface {
	Driver
	// AddAddress and RemoveAddress put one on and take it off; again is no error.
	AddAddress(ctx context.Context, n *model.Network, a netip.Addr) error
	RemoveAddress(ctx context.Context, n *model.Network, a netip.Addr) error
	// SetAddresses makes them be these, and no others of Fairway's.
	SetAddresses(ctx context.Context, n *model.Network, all []netip.Addr) error
	// AddressesWhole reports whether the device that Make returned has all of them.
	AddressesWhole(made link.Device, all []netip.Addr, s Seen) bool
}

// Seen is what was there at one look at the host.
type Seen struct {
	// Devices are those of Fairway's, by the ID that they bear.
	Devices map[string]link.Device
	// Addresses by the device's index.
	Addresses map[int][]netip.Prefix
}
