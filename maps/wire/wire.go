// SPDX-License-Identifier: Apache-2.0

// Package wire converts addresses and ports between their Go values and the
// forms that the maps hold.
//
// Struct members that C declares as __be16 and __be32 keep the bytes of the
// packet. Go reads such a member as an integer of the machine's own order, so
// its number means nothing until it is converted here. Addresses that serve both
// families are 16 bytes, IPv4 as ::ffff:a.b.c.d.
package wire

import (
	"encoding/binary"
	"net/netip"
	"unsafe"
)

// Port converts a port number to its member, and back.
func Port(p uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], p)
	return binary.NativeEndian.Uint16(b[:])
}

// Word returns an IPv4 address as a __be32 member holds it, 0 for any other Addr.
func Word(a netip.Addr) uint32 {
	if a = a.Unmap(); !a.Is4() {
		return 0
	}
	b := a.As4()
	return binary.NativeEndian.Uint32(b[:])
}

// Addr4 is the inverse of Word; 0 is 0.0.0.0.
func Addr4(w uint32) netip.Addr {
	return netip.AddrFrom4(*(*[4]byte)(unsafe.Pointer(&w)))
}

// Mapped returns a as 16 bytes, IPv4 as ::ffff:a.b.c.d and the zero Addr as ::.
// A zone is dropped: maps have none.
func Mapped(a netip.Addr) [16]byte {
	if !a.IsValid() {
		return [16]byte{}
	}
	return a.As16()
}

// Addr is the inverse of Mapped for valid addresses: mapped IPv4 becomes IPv4.
func Addr(b [16]byte) netip.Addr {
	return netip.AddrFrom16(b).Unmap()
}

// Optional is Addr where :: stands for no address.
func Optional(b [16]byte) netip.Addr {
	if b == ([16]byte{}) {
		return netip.Addr{}
	}
	return Addr(b)
}

// Optional4 is Addr4 where 0 stands for no address.
func Optional4(w uint32) netip.Addr {
	if w == 0 {
		return netip.Addr{}
	}
	return Addr4(w)
}

// Words returns a as a __be32[4] member holds it.
func Words(a netip.Addr) [4]uint32 {
	b := Mapped(a)
	return *(*[4]uint32)(unsafe.Pointer(&b))
}

// Addr6 is the inverse of Words for IPv6 addresses.
func Addr6(w [4]uint32) netip.Addr {
	return netip.AddrFrom16(*(*[16]byte)(unsafe.Pointer(&w)))
}
