// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/fairway-project/fairway/userspace/driver"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// vips are the addresses of services that are on devices, or are about to be.
type vips struct {
	mu sync.Mutex
	// all are true for those that are there.
	all map[netip.Addr]bool
}

func (v *vips) add(addrs ...netip.Addr) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.all == nil {
		v.all = make(map[netip.Addr]bool)
	}
	for _, a := range addrs {
		v.all[a] = false
	}
}

// placed says whether the addresses are on their devices.
func (v *vips) placed(is bool, addrs ...netip.Addr) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, a := range addrs {
		if _, has := v.all[a]; has {
			v.all[a] = is
		}
	}
}

// there returns those that are on their devices.
func (v *vips) there() map[netip.Addr]bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := maps.Clone(v.all)
	maps.DeleteFunc(all, func(_ netip.Addr, is bool) bool { return !is })
	return all
}

func (v *vips) remove(addrs ...netip.Addr) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, a := range addrs {
		delete(v.all, a)
	}
}

// has reports whether a service has the address.
func (v *vips) has(a netip.Addr) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, has := v.all[a]
	return has
}

// without returns the addresses that no service has.
func (v *vips) without(addrs []netip.Addr) []netip.Addr {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.DeleteFunc(addrs, func(a netip.Addr) bool {
		_, has := v.all[a]
		return has
	})
}

// vipsOf are a service's addresses in one of its networks.
func vipsOf(n model.ServiceNetwork) (all []netip.Addr) {
	for _, a := range []netip.Addr{n.IPv4, n.IPv6} {
		if a.IsValid() {
			all = append(all, a)
		}
	}
	return all
}

// allVIPs are a service's addresses in all its networks.
func allVIPs(s *model.Service) (all []netip.Addr) {
	for _, n := range s.Networks {
		all = append(all, vipsOf(n)...)
	}
	return all
}

// vipsOn are the addresses of all services in a network.
func (s *state) vipsOn(networkID string) (all []netip.Addr) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for id := range s.servicesOf[networkID] {
		for _, n := range s.services[id].Networks {
			if n.NetworkID == networkID {
				all = append(all, vipsOf(n)...)
			}
		}
	}
	return all
}

// servingDriver returns the network's driver if its networks may have services.
func (e *Engine) servingDriver(n *model.Network) (driver.Serving, error) {
	d, err := e.Drivers.Find(n.Driver)
	if err != nil {
		return nil, fmt.Errorf("network %s: %w", n.Name, err)
	}
	serving, can := d.(driver.Serving)
	if !can {
		return nil, request.Errorf(request.ErrInvalid, "network %s: driver %s has no addresses of services; want --endpoint-mode %s",
			n.Name, n.Driver, model.EndpointModeDNSRR)
	}
	return serving, nil
}

// place puts a service's addresses on the devices of its networks.
func (e *Engine) place(ctx context.Context, s *model.Service) error {
	e.vips.add(allVIPs(s)...)
	return e.eachVIP(s, func(d driver.Serving, n *model.Network, a netip.Addr) error {
		err := d.AddAddress(ctx, n, a)
		if err == nil {
			e.vips.placed(true, a)
		}
		return err
	})
}

// displace takes them off.
func (e *Engine) displace(ctx context.Context, s *model.Service) error {
	e.vips.placed(false, allVIPs(s)...)
	err := e.eachVIP(s, func(d driver.Serving, n *model.Network, a netip.Addr) error { return d.RemoveAddress(ctx, n, a) })
	if err == nil {
		e.vips.remove(allVIPs(s)...)
	}
	return err
}

func (e *Engine) eachVIP(s *model.Service, f func(driver.Serving, *model.Network, netip.Addr) error) error {
	var errs []error
	for _, in := range s.Networks {
		n := e.state.network(in.NetworkID)
		if n == nil {
			continue
		}
		for _, a := range vipsOf(in) {
			d, err := e.servingDriver(n)
			if err == nil {
				err = f(d, n, a)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// placeAddresses makes the services' addresses on a network's device be what they should.
// It needs the network's lock.
func (e *Engine) placeAddresses(ctx context.Context, n *model.Network) error {
	d, err := e.Drivers.Find(n.Driver)
	if err != nil {
		return err
	}
	serving, can := d.(driver.Serving)
	if !can {
		return nil
	}
	all := e.state.vipsOn(n.ID)
	if err := serving.SetAddresses(ctx, n, all); err != nil {
		return fmt.Errorf("network %s: addresses of services: %w", n.Name, err)
	}
	e.vips.placed(true, all...)
	return nil
}

// addressesWhole reports whether a network's device has the services' addresses of which
// placed says that they were there.
func (e *Engine) addressesWhole(n *model.Network, made link.Device, placed map[netip.Addr]bool, seen driver.Seen) bool {
	d, err := e.Drivers.Find(n.Driver)
	if err != nil {
		return true
	}
	serving, can := d.(driver.Serving)
	return !can || serving.AddressesWhole(made, slices.DeleteFunc(e.state.vipsOn(n.ID), func(a netip.Addr) bool { return !placed[a] }), seen)
}
