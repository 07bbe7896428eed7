// SPDX-License-Identifier: Apache-2.0

package host

import (
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/maptest"
	"github.com/fairway-project/fairway/userspace/model"
)

// An uplink's slot is free, its own, or an endpoint's that keeps it.
func TestXDPSlot(t *testing.T) {
	m := maptest.New(t)
	table, endpoints := New(m), endpoint.New(m)
	mac := model.MAC{2, 0, 0, 0, 0, 1}
	put := func(index int, want bool) {
		t.Helper()
		if fits, err := table.PutXDP(index, mac); err != nil || fits != want {
			t.Errorf("device %d: fits %t, %v; want %t", index, fits, err, want)
		}
	}
	put(5, true)
	put(5, true)
	other := endpoint.Endpoint{Index: 6 + 65536, IPv4: netip.MustParseAddr("10.0.0.2"), MAC: mac, Network: 1}
	if err := endpoints.Refer(1, other, func(uint16) bool { return false }); err != nil {
		t.Fatal(err)
	}
	put(6, false)
	for _, index := range []int{5, 5, 6} {
		if err := table.DeleteXDP(index); err != nil {
			t.Error(err)
		}
	}
	if _, found, err := endpoints.ByDevice(other.Index); err != nil || !found {
		t.Errorf("the endpoint's device is unknown: found %t, %v", found, err)
	}
	put(6, false)
}

// A container isn't refused because its device's number falls together with an
// uplink's: the uplink does without XDP.
func TestXDPSlotGivesWay(t *testing.T) {
	m := maptest.New(t)
	table, endpoints := New(m), endpoint.New(m)
	mac := model.MAC{2, 0, 0, 0, 0, 1}
	if fits, err := table.PutXDP(7, mac); err != nil || !fits {
		t.Fatalf("fits %t, %v", fits, err)
	}
	if _, found, err := endpoints.ByDevice(7); err != nil || found {
		t.Errorf("the uplink counts as an endpoint's device: found %t, %v", found, err)
	}
	later := endpoint.Endpoint{Index: 7 + 65536, IPv4: netip.MustParseAddr("10.0.0.2"), MAC: mac, Network: 1}
	if err := endpoints.Refer(1, later, func(uint16) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if fits, err := table.PutXDP(7, mac); err != nil || fits {
		t.Errorf("the uplink took the slot back: fits %t, %v", fits, err)
	}
}
