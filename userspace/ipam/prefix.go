// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"math"
	"net/netip"
)

// Family is an address family.
type Family int

// The address families, by the number that users know.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

func familyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

func (f Family) String() string {
	if f == IPv4 {
		return "IPv4"
	}
	return "IPv6"
}

// lastAddr returns the highest address of p.
func lastAddr(p netip.Prefix) netip.Addr {
	raw := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(raw)*8; bit++ {
		raw[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(raw)
	return last
}

// sizeOf returns the number of addresses in p, at most MaxUint64.
func sizeOf(p netip.Prefix) uint64 {
	if free := p.Addr().BitLen() - p.Bits(); free < 64 {
		return 1 << free
	}
	return math.MaxUint64
}

// nextBlock returns the start of the block of prefix length bits that follows
// the one at a. The second result is false past the end of the address space.
func nextBlock(a netip.Addr, bits int) (netip.Addr, bool) {
	raw := a.AsSlice()
	add := uint16(1) << ((8 - bits%8) % 8)
	for i := (bits - 1) / 8; i >= 0 && bits > 0; i-- {
		sum := uint16(raw[i]) + add
		raw[i] = byte(sum)
		if add = sum >> 8; add == 0 {
			next, _ := netip.AddrFromSlice(raw)
			return next, true
		}
	}
	return netip.Addr{}, false
}
