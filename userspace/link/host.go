// SPDX-License-Identifier: Apache-2.0

// Package link makes and configures network devices: the bridge of a network,
// the veth of an endpoint, the interface in its sandbox, the sandbox's default
// route. It also watches which devices lead outside the host.
//
// What Fairway made is marked by the device's alias, "fairway:" and the ID of the
// network or endpoint. Only devices with such an alias are ever deleted or
// reconfigured; the routes that it makes carry a protocol number of its own.
//
// Be aware:
//   - a veth is created with its inner end in the sandbox's namespace already,
//     both ends down: call the datapath between CreateVeth and the first SetUp;
//   - between creation and marking a crash can leave a device without an alias;
//     CreateVeth recognises such a rest of its own by name and bridge;
//   - nothing here lists all devices but All, Owned, Addresses, Routes and the
//     Watcher.
package link

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/nl"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// AliasPrefix begins the alias of every device that Fairway made; the ID follows.
const AliasPrefix = "fairway:"

// Errors that callers test for.
var (
	// ErrForeign is returned where a device is in the way that is not Fairway's
	// to change or delete.
	ErrForeign = errors.New("not made by fairway")
	// ErrNotFound is returned for a device that isn't there.
	ErrNotFound = errors.New("no such device")
	// ErrRouteExists is returned where a default route is in the way that
	// Fairway did not make.
	ErrRouteExists = errors.New("has a default route already")
)

// Device is a network device.
type Device struct {
	Name  string
	Index int
	MAC   model.MAC
	// Owner is the ID in the alias; empty for a device Fairway did not make.
	Owner string
	// Kind is the kernel's, "bridge" or "veth".
	Kind string
	// Master is the index of the bridge that it is enslaved to; 0 for none.
	Master int
	// Up is what its administrator wants, whether there is a carrier or not.
	Up bool
}

// Host works on the devices of the network namespace that is the host.
// It may be used by several goroutines at the same time.
type Host struct {
	ns   *netns.NS
	nl   *netlink.Handle
	conf confs
}

// OpenHost opens the network namespace of the calling thread. The caller closes it.
func OpenHost() (*Host, error) {
	ns, err := netns.Current()
	if err != nil {
		return nil, err
	}
	return newHost(ns)
}

func newHost(ns *netns.NS) (*Host, error) {
	handle, err := ns.Handle()
	if err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	h := &Host{ns: ns, nl: handle}
	if err := ns.Do(func() (err error) { h.conf, err = openConfs(); return err }); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// Close gives up the sockets and what else is open; devices stay.
func (h *Host) Close() error {
	h.nl.Close()
	return errors.Join(h.conf.close(), h.ns.Close())
}

// Find returns the device called name, or an error that wraps ErrNotFound.
func (h *Host) Find(name string) (Device, error) {
	l, err := find(h.nl, name)
	if err != nil {
		return Device{}, err
	}
	return device(l), nil
}

// SetUp sets a device up that Fairway made.
func (h *Host) SetUp(name string) error {
	l, err := h.owned(name, "")
	if err != nil {
		return err
	}
	if err := h.nl.LinkSetUp(l); err != nil {
		return fmt.Errorf("device %s: set up: %w", name, err)
	}
	return nil
}

// Delete deletes the device called name if its alias says that it belongs to
// owner. A device that is gone is not an error; one of somebody else is left
// alone and is an error that wraps ErrForeign.
func (h *Host) Delete(name, owner string) error {
	l, err := h.owned(name, owner)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := h.nl.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("device %s: delete: %w", name, err)
	}
	return nil
}

// All lists the devices that there are: at start-up, to tell whose leftovers are.
func (h *Host) All() ([]Device, error) {
	links, err := nl.LinkList(h.nl)
	if err != nil {
		return nil, err
	}
	all := make([]Device, len(links))
	for i, l := range links {
		all[i] = device(l)
	}
	return all, nil
}

// Owned lists the devices that Fairway made: at start-up, to find leftovers.
func (h *Host) Owned() ([]Device, error) {
	all, err := h.All()
	return slices.DeleteFunc(all, func(d Device) bool { return d.Owner == "" }), err
}

// Addresses lists the addresses of all devices, with their prefix lengths, by the
// devices' indexes.
func (h *Host) Addresses() (all map[int][]netip.Prefix, err error) {
	of, err := h.addresses()
	all = make(map[int][]netip.Prefix, len(of))
	for index, list := range of {
		for _, a := range list {
			all[index] = append(all[index], a.Prefix)
		}
	}
	return all, err
}

func (h *Host) addresses() (all map[int][]nl.Address, err error) {
	err = h.ns.Do(func() (err error) { all, err = nl.Addresses(); return err })
	return all, err
}

// Routes lists the destinations that the host has routes to in any table, but
// for default routes and those through its own addresses: what the subnet of a
// new network must not overlap.
func (h *Host) Routes() ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := nl.RouteListFiltered(h.nl, family,
			&netlink.Route{Table: unix.RT_TABLE_UNSPEC, Type: unix.RTN_UNICAST}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			if p, ok := destination(r); ok {
				prefixes = append(prefixes, p)
			}
		}
	}
	return prefixes, nil
}

func destination(r netlink.Route) (netip.Prefix, bool) {
	if r.Dst == nil {
		return netip.Prefix{}, false
	}
	p, ok := prefixOf(r.Dst)
	if !ok || p.Bits() == 0 || p.Addr().IsLinkLocalUnicast() || p.Addr().IsMulticast() || p.Addr().IsLoopback() {
		return netip.Prefix{}, false
	}
	return p, true
}

// owned returns the device called name if it belongs to owner, or to Fairway at
// all if owner is empty.
func (h *Host) owned(name, owner string) (netlink.Link, error) {
	l, err := find(h.nl, name)
	if err != nil {
		return nil, err
	}
	is := device(l).Owner
	if is == "" || owner != "" && is != owner {
		return nil, fmt.Errorf("device %s (alias %q): %w", name, l.Attrs().Alias, ErrForeign)
	}
	return l, nil
}

func find(h *netlink.Handle, name string) (netlink.Link, error) {
	l, err := h.LinkByName(name)
	if _, gone := errors.AsType[netlink.LinkNotFoundError](err); gone {
		return nil, fmt.Errorf("device %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", name, err)
	}
	return l, nil
}

func device(l netlink.Link) Device {
	a := l.Attrs()
	d := Device{Name: a.Name, Index: a.Index, Kind: l.Type(), Master: a.MasterIndex, Up: a.RawFlags&unix.IFF_UP != 0}
	copy(d.MAC[:], a.HardwareAddr)
	if owner, ok := strings.CutPrefix(a.Alias, AliasPrefix); ok {
		d.Owner = owner
	}
	return d
}
