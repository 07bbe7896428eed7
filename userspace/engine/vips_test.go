// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/userspace/model"
)

// What is about to be on a device is a service's, and nobody misses it there.
func TestAddressesAreThereOncePlaced(t *testing.T) {
	a, b := netip.MustParseAddr("10.77.0.200"), netip.MustParseAddr("10.77.0.201")
	var v vips
	check := func(when string, want ...netip.Addr) {
		t.Helper()
		all := make(map[netip.Addr]bool)
		for _, addr := range want {
			all[addr] = true
		}
		if there := v.there(); !maps.Equal(there, all) {
			t.Errorf("%s: %v are there, want %v", when, there, want)
		}
	}
	v.add(a, b)
	check("about to be placed")
	if !v.has(a) || len(v.without([]netip.Addr{a, b})) != 0 {
		t.Error("an address that is about to be placed is nobody's")
	}
	v.placed(true, a, netip.MustParseAddr("10.77.0.202"))
	check("one is placed", a)
	v.placed(false, a)
	check("about to go")
	v.remove(a)
	v.placed(true, a)
	check("gone")
	if v.has(a) || !v.has(b) {
		t.Error("the wrong address has gone")
	}
}

// A name is a service's on each of its networks, however often the service is put.
func TestNamesOfServices(t *testing.T) {
	s := newState()
	shop := &model.Service{ID: "1", Name: "Shop", Networks: []model.ServiceNetwork{{NetworkID: "front"}, {NetworkID: "back"}}}
	s.put(change{services: []*model.Service{shop}})
	now := *shop
	now.Drained = []string{"a"}
	s.put(change{services: []*model.Service{&now}})
	if !s.hasService("front", "shop") || !s.hasService("back", "SHOP") || s.hasService("front", "other") || s.hasService("other", "shop") {
		t.Errorf("names: %v", s.servicesNamed)
	}
	s.put(change{goneServices: []*model.Service{shop, shop}})
	if s.hasService("front", "shop") || len(s.servicesNamed)+len(s.servicesOf) != 0 {
		t.Errorf("left: names %v, services %v", s.servicesNamed, s.servicesOf)
	}
}
