// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/model"
)

// space is the addresses of one subnet. Taken addresses are a set, so that a
// search passes over no more addresses than are taken, however large the subnet.
type space struct {
	subnet model.Subnet
	// reserved are the addresses no endpoint gets, with what they are.
	reserved map[netip.Addr]string
	used     map[netip.Addr]struct{}
	// auto is the part that automatic assignment takes from, capacity its size
	// and taken the number of its addresses that are reserved or used.
	auto            netip.Prefix
	capacity, taken uint64
	// cursor is the address that the next search starts at.
	cursor netip.Addr
}

func newSpace(sub model.Subnet) *space {
	auto := sub.Prefix
	if sub.Range.IsValid() {
		auto = sub.Range
	}
	s := &space{
		subnet:   sub,
		reserved: map[netip.Addr]string{},
		used:     map[netip.Addr]struct{}{},
		auto:     auto,
		capacity: sizeOf(auto),
		cursor:   auto.Addr(),
	}
	s.reserveEnds()
	return s
}

// reserveEnds keeps back the network and broadcast address of IPv4 (not on a
// /31, RFC 3021) and the subnet-router anycast address of IPv6 (RFC 4291
// section 2.6.1; not on a /127, RFC 6164).
func (s *space) reserveEnds() {
	p := s.subnet.Prefix
	if p.Addr().BitLen()-p.Bits() < 2 {
		return
	}
	if p.Addr().Is4() {
		s.take(p.Addr(), "the network address")
		s.take(lastAddr(p), "the broadcast address")
		return
	}
	s.take(p.Addr(), "the subnet-router anycast address")
}

// take marks a reserved address without asking.
func (s *space) take(addr netip.Addr, what string) {
	s.reserved[addr] = what
	s.count(addr, 1)
}

func (s *space) count(addr netip.Addr, delta int) {
	if s.auto.Contains(addr) {
		s.taken += uint64(delta)
	}
}

// reserve keeps addr from endpoints.
func (s *space) reserve(addr netip.Addr, what string) error {
	if err := s.available(addr); err != nil {
		return err
	}
	s.take(addr, what)
	return nil
}

func (s *space) available(addr netip.Addr) error {
	if !s.subnet.Prefix.Contains(addr) {
		return fmt.Errorf("%s: %w: outside of subnet %s", addr, ErrInvalid, s.subnet.Prefix)
	}
	if what, ok := s.reserved[addr]; ok {
		return fmt.Errorf("%s: %w as %s of subnet %s", addr, ErrInUse, what, s.subnet.Prefix)
	}
	if _, ok := s.used[addr]; ok {
		return fmt.Errorf("%s: %w", addr, ErrInUse)
	}
	return nil
}

// defaultGateway reserves the first usable address.
func (s *space) defaultGateway() error {
	for addr := s.subnet.Prefix.Addr(); s.subnet.Prefix.Contains(addr); addr = addr.Next() {
		if s.available(addr) == nil {
			s.subnet.Gateway = addr
			s.take(addr, "the gateway")
			return nil
		}
	}
	return fmt.Errorf("subnet %s: %w for a gateway", s.subnet.Prefix, ErrExhausted)
}

// request gives out addr.
func (s *space) request(addr netip.Addr) error {
	if err := s.available(addr); err != nil {
		return err
	}
	s.used[addr] = struct{}{}
	s.count(addr, 1)
	return nil
}

// allocate gives out the next free address at or after the cursor.
func (s *space) allocate() (netip.Addr, error) {
	if s.taken >= s.capacity {
		return netip.Addr{}, fmt.Errorf("%w in %s", ErrExhausted, s.auto)
	}
	for addr := s.cursor; ; addr = s.after(addr) {
		if s.request(addr) == nil {
			s.cursor = s.after(addr)
			return addr, nil
		}
	}
}

// after returns the address that follows addr in the circle of s.auto.
func (s *space) after(addr netip.Addr) netip.Addr {
	if next := addr.Next(); s.auto.Contains(next) {
		return next
	}
	return s.auto.Addr()
}

func (s *space) release(addr netip.Addr) {
	if _, ok := s.used[addr]; ok {
		delete(s.used, addr)
		s.count(addr, -1)
	}
}
