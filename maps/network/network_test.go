// SPDX-License-Identifier: Apache-2.0

package network

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/maps/maptest"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/userspace/model"
)

func TestSlots(t *testing.T) {
	table := New(maptest.New(t))
	want := Network{
		BridgeIndex: 3, Flags: object.DatapathNetworkFlagNETWORK_IPV4 | object.DatapathNetworkFlagNETWORK_OPEN6,
		Gateway4: netip.MustParseAddr("172.17.0.1"), Gateway6: netip.MustParseAddr("fd00::1"),
		SNAT4: netip.MustParseAddr("192.0.2.9"), GatewayMAC: model.MAC{2, 1}, MTU: 1400,
		Subnet4: netip.MustParsePrefix("172.17.0.0/23"), Subnet6: netip.MustParsePrefix("fd00::/57"),
	}
	if err := table.Put(7, want); err != nil {
		t.Fatal(err)
	}
	if got, err := table.Get(7); err != nil || got != want {
		t.Errorf("got %s, %v", got, err)
	}
	if all, err := table.All(); err != nil || len(all) != 1 || all[7] != want {
		t.Errorf("slots in use: %v, %v", all, err)
	}
	if got := flagNames(want.Flags); got != "ipv4,open6" {
		t.Errorf("flags %q", got)
	}
}

// Lookups find the longest prefix of the address's own family.
func TestSubnets(t *testing.T) {
	table := New(maptest.New(t))
	want := map[netip.Prefix]uint16{
		netip.MustParsePrefix("172.16.0.0/12"): 1, netip.MustParsePrefix("172.17.0.0/16"): 2,
		netip.MustParsePrefix("0.0.0.0/0"): 3, netip.MustParsePrefix("fd00::/8"): 4, netip.MustParsePrefix("fd00:1::/64"): 5,
	}
	for p, slot := range want {
		if err := table.PutSubnet(p, slot); err != nil {
			t.Fatal(err)
		}
	}
	got, err := table.Subnets()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for address, slot := range map[string]uint32{"172.17.3.4": 2, "172.18.3.4": 1, "8.8.8.8": 3, "fd00:1::9": 5, "fd00:2::9": 4} {
		var found uint32
		key := subnetKey(netip.PrefixFrom(netip.MustParseAddr(address), netip.MustParseAddr(address).BitLen()))
		if err := table.subnets.Lookup(key, &found); err != nil || found != slot {
			t.Errorf("%s is in slot %d, want %d, %v", address, found, slot, err)
		}
	}
	for p := range want {
		if err := table.DeleteSubnet(p); err != nil {
			t.Error(err)
		}
		if err := table.DeleteSubnet(p); err != nil {
			t.Errorf("deleting what is gone: %v", err)
		}
	}
}

func TestTrusts(t *testing.T) {
	table := New(maptest.New(t))
	want := map[Trust]bool{{Slot: 1, Index: 7}: true, {Slot: 1, Index: 8}: true, {Slot: 2, Index: 7}: true}
	for k := range want {
		for range 2 {
			if err := table.PutTrust(k); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, err := table.Trusts(); err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for range 2 {
		if err := table.DeleteTrust(Trust{Slot: 1, Index: 7}); err != nil {
			t.Error(err)
		}
	}
	if got, err := table.Trusts(); err != nil || len(got) != 2 || got[Trust{Slot: 1, Index: 7}] {
		t.Errorf("after Delete: %v, %v", got, err)
	}
}
