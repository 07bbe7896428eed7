// SPDX-License-Identifier: Apache-2.0

package host

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/fairway-project/fairway/maps/maptest"
	"github.com/fairway-project/fairway/maps/object"
)

func TestUplinks(t *testing.T) {
	table := New(maptest.New(t))
	want := Uplink{
		IPv4: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("10.0.0.1/8")},
		IPv6: []netip.Addr{netip.MustParseAddr("2001:db8::1")},
	}
	if err := table.PutUplink(5, want); err != nil {
		t.Fatal(err)
	}
	if got, err := table.Uplinks(); err != nil || !reflect.DeepEqual(got, map[int]Uplink{5: want}) {
		t.Errorf("got %v, %v", got, err)
	}
	many := Uplink{IPv4: make([]netip.Prefix, 9)}
	for i := range many.IPv4 {
		many.IPv4[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 32)
	}
	if err := table.PutUplink(5, many); err != nil {
		t.Fatal(err)
	}
	if got, _ := table.Uplinks(); !reflect.DeepEqual(got[5].IPv4, many.IPv4[:MaxAddresses]) {
		t.Errorf("got %v", got[5].IPv4)
	}
	for range 2 {
		if err := table.DeleteUplink(5); err != nil {
			t.Error(err)
		}
	}
}

func TestAddressesAndRoutes(t *testing.T) {
	table := New(maptest.New(t))
	want := map[netip.Addr]uint32{netip.MustParseAddr("192.0.2.1"): NoNetwork, netip.IPv6Loopback(): NoNetwork, netip.MustParseAddr("172.17.0.1"): Gateway(4)}
	for a, v := range want {
		if err := table.PutAddress(a, v); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := table.Addresses(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for a := range want {
		if err := table.DeleteAddress(a); err != nil {
			t.Error(err)
		}
	}
	before, _ := table.RouteGeneration()
	if err := table.NewRoutes(); err != nil {
		t.Fatal(err)
	}
	if after, err := table.RouteGeneration(); err != nil || after != before+1 {
		t.Errorf("generation %d, then %d, %v", before, after, err)
	}
}

func TestRules(t *testing.T) {
	table := New(maptest.New(t))
	for _, c := range []struct{ from, want uint16 }{{0, 1}, {1, 2}, {maxRules, 1}} {
		if err := table.state.Put(uint32(0), &object.DatapathHostState{RouteGeneration: 5, RulesGeneration: c.from}); err != nil {
			t.Fatal(err)
		}
		if err := table.NewRules(); err != nil {
			t.Fatal(err)
		}
		if got, err := table.RulesGeneration(); err != nil || got != c.want {
			t.Errorf("after %d: %d, %v, want %d", c.from, got, err, c.want)
		}
	}
	if got, err := table.RouteGeneration(); err != nil || got != 5 {
		t.Errorf("routes are %d, %v", got, err)
	}
}

func TestListeners(t *testing.T) {
	table := New(maptest.New(t))
	want := map[Protocol]uint32{{Number: 47}: 1, {Number: 255}: 2, {IPv6: true, Number: 0}: 3, {IPv6: true, Number: 255}: 4}
	for p, n := range want {
		if err := table.PutListeners(p, n); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := table.Listeners(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for p := range want {
		if err := table.PutListeners(p, 0); err != nil {
			t.Error(err)
		}
	}
	if got, err := table.Listeners(); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}
