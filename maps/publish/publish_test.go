// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/maps/maptest"
	"github.com/fairway-project/fairway/userspace/model"
)

func TestEntries(t *testing.T) {
	table := New(maptest.New(t))
	want := make(map[Key]Entry)
	for n := range uint16(5000) {
		k := Key{Addr: netip.IPv4Unspecified(), Port: n, Proto: model.TCP}
		want[k] = Entry{Target: netip.AddrPortFrom(netip.MustParseAddr("172.17.0.2"), n), Endpoint: 1, Generation: 2, HostOnly: n%2 == 0}
	}
	for _, a := range []string{"::", "::1", "192.0.2.1"} {
		k := Key{Addr: netip.MustParseAddr(a), Port: 80, Proto: model.SCTP}
		want[k] = Entry{Target: netip.MustParseAddrPort("[fd00::2]:80"), Routed: true}
	}
	for k, e := range want {
		if err := table.Put(k, e); err != nil {
			t.Fatal(err)
		}
	}
	got, err := table.All()
	if err != nil || len(got) != len(want) {
		t.Fatalf("got %d entries, want %d, %v", len(got), len(want), err)
	}
	for k, e := range want {
		if got[k] != e {
			t.Fatalf("%s: got %s, want %s", k, got[k], e)
		}
	}
	k := Key{Addr: netip.MustParseAddr("::"), Port: 80, Proto: model.SCTP}
	for range 2 {
		if err := table.Delete(k); err != nil {
			t.Error(err)
		}
	}
	if _, found, err := table.Get(k); found || err != nil {
		t.Errorf("after Delete: found %t, %v", found, err)
	}
}

func TestBits(t *testing.T) {
	table := New(maptest.New(t))
	set := map[string]bool{}
	for _, p := range []model.Port{{Num: 0, Proto: model.TCP}, {Num: 65535, Proto: model.UDP}, {Num: 64, Proto: model.SCTP}, {Num: 63, Proto: model.SCTP}} {
		if err := table.SetBit(p.Proto, p.Num, true); err != nil {
			t.Fatal(err)
		}
		set[p.String()] = true
	}
	found := map[string]bool{}
	err := table.Bits(func(proto model.Proto, port uint16) { found[model.Port{Num: port, Proto: proto}.String()] = true })
	if err != nil || fmt.Sprint(found) != fmt.Sprint(set) {
		t.Errorf("bits %v, want %v, %v", found, set, err)
	}
	if err := table.SetBit(model.SCTP, 64, false); err != nil {
		t.Fatal(err)
	}
	for port, want := range map[uint16]bool{63: true, 64: false} {
		if got, err := table.Bit(model.SCTP, port); got != want || err != nil {
			t.Errorf("bit %d: %t, %v", port, got, err)
		}
	}
	if err := table.SetBit(1, 80, true); err == nil {
		t.Error("ICMP got a port")
	}
}
