// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"maps"
	"net/netip"

	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/userspace/model"
)

// addresses are the host's, those of the networks' gateways among them.
type addresses struct {
	table *host.Table
	// known is the map's content, own the part of it that EnsureHost said.
	known map[netip.Addr]uint32
	own   map[netip.Addr]bool
	// lost are former ones whose flows are still to be ended.
	lost map[netip.Addr]bool
}

func adoptAddresses(t *host.Table) (*addresses, error) {
	known, err := t.Addresses()
	return &addresses{table: t, known: known, own: make(map[netip.Addr]bool), lost: make(map[netip.Addr]bool)}, err
}

// say notes what EnsureHost said.
func (a *addresses) say(h model.Host) {
	a.own = map[netip.Addr]bool{netip.IPv6Loopback(): true}
	for _, addr := range h.Addresses {
		a.own[addr.Unmap().WithZone("")] = true
	}
}

// sync makes the map what was said and the gateways are. Additions come first, so that
// no address is missing meanwhile.
func (a *addresses) sync(gateways map[netip.Addr]uint32) error {
	want := make(map[netip.Addr]uint32)
	for addr := range a.own {
		want[addr] = host.NoNetwork
	}
	maps.Copy(want, gateways)
	if err := a.add(want); err != nil {
		return err
	}
	for addr, v := range a.known {
		if _, ok := want[addr]; ok {
			continue
		}
		if err := a.table.DeleteAddress(addr); err != nil {
			return err
		}
		delete(a.known, addr)
		if v == host.NoNetwork {
			a.lost[addr] = true
		}
	}
	return nil
}

// add makes the map have these, whatever else it has.
func (a *addresses) add(some map[netip.Addr]uint32) error {
	for addr, v := range some {
		if have, ok := a.known[addr]; ok && have == v {
			continue
		}
		if err := a.table.PutAddress(addr, v); err != nil {
			return err
		}
		a.known[addr] = v
	}
	return nil
}

// takeLost returns the addresses whose flows are to be ended, for the one who does it.
func (a *addresses) takeLost() map[netip.Addr]bool {
	lost := a.lost
	maps.DeleteFunc(lost, func(addr netip.Addr, _ bool) bool { return a.own[addr] })
	a.lost = make(map[netip.Addr]bool)
	return lost
}
