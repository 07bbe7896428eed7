// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"fmt"
	"net/netip"
)

// Allocate gives out an address of the network, with the subnet's prefix
// length. Errors are ErrExhausted and ErrUnknownNetwork.
func (m *Manager) Allocate(networkID string, f Family) (netip.Prefix, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.space(networkID, f)
	if err != nil {
		return netip.Prefix{}, err
	}
	addr, err := s.allocate()
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("network %q: %w", m.networks[networkID].name, err)
	}
	return netip.PrefixFrom(addr, s.subnet.Prefix.Bits()), nil
}

// Request gives out the address that the user asked for, which may lie outside
// of the ip-range. Errors are ErrInvalid (outside of the subnet), ErrInUse (an
// endpoint's, the gateway's, an aux address, network or broadcast address) and
// ErrUnknownNetwork.
func (m *Manager) Request(networkID string, addr netip.Addr) (netip.Prefix, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	addr = addr.Unmap()
	s, err := m.space(networkID, familyOf(addr))
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("address %s: %w", addr, err)
	}
	if err := s.request(addr); err != nil {
		return netip.Prefix{}, fmt.Errorf("network %q: address %w", m.networks[networkID].name, err)
	}
	return netip.PrefixFrom(addr, s.subnet.Prefix.Bits()), nil
}

// Release takes an address back at once. Releasing what isn't given out, or the
// gateway, does nothing.
func (m *Manager) Release(networkID string, addr netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, err := m.space(networkID, familyOf(addr)); err == nil {
		s.release(addr)
	}
}

// Usage counts the addresses of a subnet as Docker's Status.IPAM does.
type Usage struct {
	// InUse counts endpoints' and reserved addresses in the whole subnet.
	InUse uint64
	// Available counts what automatic assignment can still give out, at most
	// MaxUint64.
	Available uint64
}

// Usage tells how full the network's subnet of the family is; the zero Usage if it has none.
func (m *Manager) Usage(networkID string, f Family) Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.space(networkID, f)
	if err != nil {
		return Usage{}
	}
	return Usage{InUse: uint64(len(s.reserved) + len(s.used)), Available: s.capacity - s.taken}
}
