// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/maps/maptest"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/userspace/model"
)

var sample = Endpoint{
	Index: 12, IPv4: netip.MustParseAddr("172.17.0.2"), IPv6: netip.MustParseAddr("fd00::2"),
	MAC: model.MAC{2, 0x42, 0xac, 0x11, 0, 2}, Generation: 3, Network: 4, Ready: true,
}

func never(uint16) bool  { return false }
func always(uint16) bool { return true }

func TestSlots(t *testing.T) {
	table := New(maptest.New(t))
	v4only := sample
	v4only.IPv6, v4only.Ready = netip.Addr{}, false
	for slot, e := range map[uint16]Endpoint{1: sample, 2: v4only, uint16(MaxSlots - 1): sample} {
		if err := table.Put(slot, e); err != nil {
			t.Fatal(err)
		}
		if got, err := table.Get(slot); err != nil || got != e {
			t.Errorf("slot %d: got %s, want %s, %v", slot, got, e, err)
		}
	}
	if err := table.Put(2, Endpoint{Generation: 9}); err != nil {
		t.Fatal(err)
	}
	all, err := table.All()
	if err != nil || len(all) != 2 || all[1] != sample {
		t.Errorf("slots in use: %v, %v", all, err)
	}
	if got, _ := table.Get(2); got.Generation != 9 {
		t.Errorf("a free slot lost its generation: %s", got)
	}
}

func TestReferAndForget(t *testing.T) {
	table := New(maptest.New(t))
	if err := table.Refer(1, sample, never); err != nil {
		t.Fatal(err)
	}
	check := func(want bool) {
		t.Helper()
		for what, find := range map[string]func() (uint16, bool, error){
			"mac":    func() (uint16, bool, error) { return table.ByMAC(4, sample) },
			"ipv4":   func() (uint16, bool, error) { return table.ByAddr(4, sample.IPv4) },
			"ipv6":   func() (uint16, bool, error) { return table.ByAddr(4, sample.IPv6) },
			"device": func() (uint16, bool, error) { return table.ByDevice(12) },
		} {
			if slot, found, err := find(); err != nil || found != want || found && slot != 1 {
				t.Errorf("%s: slot %d, found %t, want %t, %v", what, slot, found, want, err)
			}
		}
	}
	check(true)
	if err := table.Forget(2, sample); err != nil { // not slot 2's to forget
		t.Fatal(err)
	}
	check(true)
	for range 2 {
		if err := table.Forget(1, sample); err != nil {
			t.Fatal(err)
		}
		check(false)
	}
}

// Two networks may have the same addresses, and the same MACs.
func TestSameAddressesInTwoNetworks(t *testing.T) {
	table := New(maptest.New(t))
	other := sample
	other.Index, other.Network = sample.Index+1, sample.Network+1
	if err := errors.Join(table.Refer(1, sample, never), table.Refer(2, other, never)); err != nil {
		t.Fatal(err)
	}
	check := func(network, want uint16) {
		t.Helper()
		for _, a := range []netip.Addr{sample.IPv4, sample.IPv6} {
			if slot, found, err := table.ByAddr(network, a); slot != want || found != (want != 0) || err != nil {
				t.Errorf("%s in network %d: slot %d, found %t, want %d, %v", a, network, slot, found, want, err)
			}
		}
	}
	check(sample.Network, 1)
	check(other.Network, 2)
	if err := table.Forget(1, sample); err != nil {
		t.Fatal(err)
	}
	check(sample.Network, 0)
	check(other.Network, 2)
}

func TestDeviceSlotsCollide(t *testing.T) {
	table := New(maptest.New(t))
	far := sample
	far.Index += int(object.DatapathLimitDEVICE_SLOTS)
	if err := table.Refer(1, sample, never); err != nil {
		t.Fatal(err)
	}
	if err := table.Refer(2, far, never); !errors.Is(err, ErrDeviceSlot) {
		t.Errorf("got %v, want ErrDeviceSlot", err)
	}
	if _, found, _ := table.ByDevice(far.Index); found {
		t.Error("the refused device is known")
	}
	if err := table.Refer(2, far, always); err != nil {
		t.Errorf("a stale device's slot wasn't taken over: %v", err)
	}
}
