// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net/netip"
	"testing"
	"unsafe"
)

func TestMembersHoldThePacketsBytes(t *testing.T) {
	p := Port(0x1f90)
	if got := *(*[2]byte)(unsafe.Pointer(&p)); got != [2]byte{0x1f, 0x90} {
		t.Errorf("port bytes %x", got)
	}
	w := Word(netip.MustParseAddr("192.0.2.7"))
	if got := *(*[4]byte)(unsafe.Pointer(&w)); got != [4]byte{192, 0, 2, 7} {
		t.Errorf("address bytes %v", got)
	}
	ws := Words(netip.MustParseAddr("2001:db8::7"))
	if got := *(*[16]byte)(unsafe.Pointer(&ws)); got != netip.MustParseAddr("2001:db8::7").As16() {
		t.Errorf("address bytes %v", got)
	}
	if got := Mapped(netip.MustParseAddr("0.0.0.0")); got[10] != 0xff || got[11] != 0xff {
		t.Errorf("the IPv4 wildcard isn't mapped: %v", got)
	}
	if got := Mapped(netip.MustParseAddr("::")); got != [16]byte{} {
		t.Errorf("the IPv6 wildcard isn't zero: %v", got)
	}
}

func TestRoundTrips(t *testing.T) {
	for _, s := range []string{"0.0.0.0", "192.0.2.1", "::1", "2001:db8::1"} {
		a := netip.MustParseAddr(s)
		if got := Addr(Mapped(a)); got != a {
			t.Errorf("Addr(Mapped(%s)) = %s", a, got)
		}
		if a.Is4() && Addr4(Word(a)) != a {
			t.Errorf("Addr4(Word(%s)) = %s", a, Addr4(Word(a)))
		}
		if a.Is6() && Addr6(Words(a)) != a {
			t.Errorf("Addr6(Words(%s)) = %s", a, Addr6(Words(a)))
		}
	}
	if Port(Port(8080)) != 8080 {
		t.Error("Port isn't its own inverse")
	}
	if Optional4(0).IsValid() || Optional([16]byte{}).IsValid() {
		t.Error("no address became one")
	}
}
