// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"net/netip"
	"reflect"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// EnsureHost implements datapath.Datapath. Every call makes the flows ask for
// their routes again, since it is what tells of changes to them.
func (d *Datapath) EnsureHost(_ context.Context, h datapath.Host) error {
	return d.edit(func() error { return d.ensureHost(h) })
}

func (d *Datapath) ensureHost(h datapath.Host) error {
	if err := d.ensureAddresses(h); err != nil {
		return err
	}
	want := make(map[int]bool)
	var errs []error
	before := d.state.withoutXDP
	d.state.l3Uplinks, d.state.withoutXDP, d.state.uplinkNames = nil, make(map[string]string), make(map[string]int)
	for _, u := range h.Uplinks {
		if d.isBridge(u.Index) {
			continue
		}
		if u.L3 {
			// The programs read Ethernet frames. A device that is no uplink
			// gets nothing from containers: refused and counted as no_route.
			d.state.l3Uplinks = append(d.state.l3Uplinks, u.Name)
			continue
		}
		want[u.Index], d.state.uplinkNames[u.Name] = true, u.Index
		errs = append(errs, d.ensureUplink(u), d.ensureXDP(u, before))
	}
	// Flows with sources that are lost are ended after this: no new one may take such
	// a source from an uplink that still has it.
	errs = append(errs, d.syncTrusted(), d.dropUplinks(want), d.tables.host.NewRoutes(), d.retryFrames(), d.listeners.devicesChanged())
	return errors.Join(errs...)
}

func (d *Datapath) ensureAddresses(h datapath.Host) error {
	own := map[netip.Addr]bool{netip.IPv6Loopback(): true}
	for _, a := range h.Addresses {
		own[a.Unmap().WithZone("")] = true
	}
	d.state.own = own
	return d.syncAddresses()
}

// syncAddresses makes the map of host addresses what EnsureHost and the networks'
// gateways say. Additions come first, so that no address is missing meanwhile.
func (d *Datapath) syncAddresses() error {
	s := &d.state
	want := make(map[netip.Addr]uint32)
	for a := range s.own {
		want[a] = host.NoNetwork
	}
	for _, n := range s.networks {
		for _, g := range n.gateways {
			want[g] = host.Gateway(n.slot)
			if n.everyones {
				want[g] = host.NoNetwork
			}
		}
	}
	d.keepOrphanGateways(want)
	for a, v := range want {
		if have, ok := s.addresses[a]; ok && have == v {
			continue
		}
		if err := d.tables.host.PutAddress(a, v); err != nil {
			return err
		}
		s.addresses[a] = v
	}
	for a, v := range s.addresses {
		if _, ok := want[a]; ok {
			continue
		}
		if err := d.tables.host.DeleteAddress(a); err != nil {
			return err
		}
		delete(s.addresses, a)
		if v == host.NoNetwork {
			s.lost[a] = true
		}
	}
	return nil
}

// keepOrphanGateways lets the networks of an earlier process work until they are
// ensured or pruned.
func (d *Datapath) keepOrphanGateways(want map[netip.Addr]uint32) {
	for slot, n := range d.state.orphanNetworks {
		for _, g := range []netip.Addr{n.Gateway4, n.Gateway6} {
			if !g.IsValid() {
				continue
			}
			want[g] = host.Gateway(slot)
			if have, ok := d.state.addresses[g]; ok {
				want[g] = have
			}
		}
	}
}

func (d *Datapath) ensureUplink(u datapath.Uplink) error {
	var want host.Uplink
	for _, p := range u.Addresses {
		if p.Addr().Is4() {
			want.IPv4 = append(want.IPv4, p)
		} else {
			want.IPv6 = append(want.IPv6, p.Addr())
		}
	}
	want.IPv4 = want.IPv4[:min(len(want.IPv4), host.MaxAddresses)]
	want.IPv6 = want.IPv6[:min(len(want.IPv6), host.MaxAddresses)]
	if have, ok := d.state.uplinks[u.Index]; !ok || !reflect.DeepEqual(have, want) {
		if err := d.tables.host.PutUplink(u.Index, want); err != nil {
			return err
		}
		d.state.uplinks[u.Index] = want
	}
	for _, p := range []loader.Program{loader.FromUplink, loader.ToUplink} {
		err := d.loader.Attach(u.Index, p)
		if errors.Is(err, unix.ENODEV) {
			// It went away since the caller looked; the next call will say so.
			d.log.Info("uplink is gone", "device", u.Name, "index", u.Index)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dropUplinks detaches from devices that are uplinks no more. The programs go
// first: one without its uplink's entry would judge by nothing.
func (d *Datapath) dropUplinks(want map[int]bool) error {
	attached, err := d.loader.Attachments()
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range attached {
		switch {
		case want[a.Index]:
		case a.Program == loader.UplinkXDP:
			errs = append(errs, d.dropXDP(a.Index))
		case a.Program == loader.FromUplink, a.Program == loader.ToUplink:
			errs = append(errs, d.loader.Detach(a.Index, a.Program))
		}
	}
	for index := range d.state.uplinks {
		if want[index] {
			continue
		}
		errs = append(errs, d.tables.host.DeleteUplink(index))
		delete(d.state.uplinks, index)
	}
	return errors.Join(errs...)
}
