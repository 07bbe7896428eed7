// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"fmt"
	"net/netip"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/maps/maptest"
	"github.com/fairway-project/fairway/maps/object"
)

var compare = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

func half(src, dst, natSrc, natDst string) Half {
	return Half{
		Key:    Key{Src: netip.MustParseAddrPort(src), Dst: netip.MustParseAddrPort(dst), Proto: 6, Zone: object.DatapathZoneZONE_WORLD},
		NATSrc: netip.MustParseAddrPort(natSrc), NATDst: netip.MustParseAddrPort(natDst),
		LastSeen: 1, State: 2, Flags: object.DatapathFlowFlagFLOW_ORIGIN | 2<<object.DatapathFlowFlagFLOW_KIND_SHIFT,
		Action: object.DatapathFlowActionFLOW_DELIVER, TwinZone: 4, NextHop: 3, RouteGeneration: 5, Endpoint: 6, EndpointGeneration: 7, Netfilter: 9,
	}
}

func TestHalvesComeBackAsPut(t *testing.T) {
	table := New(maptest.New(t))
	for _, want := range []Half{
		half("198.51.100.1:1000", "192.0.2.1:80", "198.51.100.1:1000", "172.17.0.2:8080"),
		half("[2001:db8::1]:1000", "[2001:db8::2]:80", "[2001:db8::1]:1000", "[fd00::2]:8080"),
	} {
		if err := table.Put(want); err != nil {
			t.Fatal(err)
		}
		got, found, err := table.Lookup(want.Key)
		if err != nil || !found {
			t.Fatalf("%s: found %t, %v", &want, found, err)
		}
		if diff := cmp.Diff(want, got, compare); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if !got.Origin() || got.Kind() != object.DatapathFlowKindFLOW_HAIRPIN {
			t.Errorf("origin %t, kind %d", got.Origin(), got.Kind())
		}
		if err := table.Delete(want.Key); err != nil {
			t.Fatal(err)
		}
		if _, found, err := table.Lookup(want.Key); found || err != nil {
			t.Errorf("after Delete: found %t, %v", found, err)
		}
		if err := table.Delete(want.Key); err != nil {
			t.Errorf("deleting what is gone: %v", err)
		}
	}
}

// The bytes are those of the packet.
func TestKeyBytes(t *testing.T) {
	h := half("198.51.100.1:258", "192.0.2.1:80", "0.0.0.0:0", "0.0.0.0:0")
	h.Zone = 3
	k := key4(h.Key)
	got := *(*[16]byte)(unsafe.Pointer(&k))
	want := [16]byte{198, 51, 100, 1, 192, 0, 2, 1, 1, 2, 0, 80, 3, 0, 6, 0}
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	e := ExpiredKey(h.Key)
	if begin := *(*[16]byte)(unsafe.Pointer(&e)); begin != want {
		t.Errorf("expired key begins with %v", begin)
	}
}

func TestTwinIsTheOtherWayAround(t *testing.T) {
	h := half("172.17.0.2:5000", "198.51.100.1:80", "192.0.2.1:6000", "198.51.100.1:80")
	h.Zone, h.TwinZone = 3, object.DatapathZoneZONE_WORLD
	h.Flags |= object.DatapathFlowFlagFLOW_TWIN_WORLD
	want := Key{
		Src: netip.MustParseAddrPort("198.51.100.1:80"), Dst: netip.MustParseAddrPort("192.0.2.1:6000"),
		Zone: object.DatapathZoneZONE_WORLD, Proto: 6,
	}
	if got := h.Twin(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	reply := Half{Key: want, NATSrc: h.Dst, NATDst: h.Src, TwinZone: 3}
	if got := reply.Twin(); got != h.Key {
		t.Errorf("the twin's twin is %s, want %s", got, h.Key)
	}
	h.Echo, want.Echo = object.DatapathFlowEchoFLOW_ECHO_REQUEST, object.DatapathFlowEchoFLOW_ECHO_REPLY
	if got := h.Twin(); got != want {
		t.Errorf("an echo's twin is %v, want %v", got.Echo, want.Echo)
	}
}

func TestAllYieldsEveryHalf(t *testing.T) {
	table := New(maptest.New(t))
	want := make(map[Key]bool)
	for n := range 500 {
		a := half(fmt.Sprintf("198.51.100.1:%d", n), "192.0.2.1:80", "198.51.100.1:1", "172.17.0.2:80")
		b := half(fmt.Sprintf("[2001:db8::1]:%d", n), "[2001:db8::2]:80", "[2001:db8::1]:1", "[fd00::2]:80")
		for _, h := range []Half{a, b} {
			if err := table.Put(h); err != nil {
				t.Fatal(err)
			}
			want[h.Key] = true
		}
	}
	got := make(map[Key]bool)
	for h, err := range table.All() {
		if err != nil {
			t.Fatal(err)
		}
		got[h.Key] = true
	}
	if len(got) != len(want) {
		t.Errorf("got %d halves, want %d", len(got), len(want))
	}
	n := 0
	for range table.All() {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("the scan went on to %d", n)
	}
}
