// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/model"
)

// Host is what a new subnet must keep clear of.
type Host struct {
	// Routes are the destinations of the host's routes. Leave out those of
	// Fairway's own bridges, and of a device that the network is about to adopt.
	// The default route and its halves (/0, /1) are ignored.
	Routes []netip.Prefix
	// Nameservers keep automatic subnets, not explicit ones, off their addresses.
	Nameservers []netip.Addr
}

// SubnetRequest asks for the subnet of one family. The zero value takes whatever is free.
type SubnetRequest struct {
	// Prefix is the subnet. The zero Prefix, or an unspecified address with a
	// length (0.0.0.0/24: any subnet of that size, IPv4 only), takes one of the
	// pools; for IPv6 a random ULA /64.
	Prefix netip.Prefix
	// Range restricts automatic assignment to a part of Prefix.
	Range netip.Prefix
	// Gateway is the first usable address of Prefix unless given.
	Gateway netip.Addr
	// NoGateway reserves none (gateway mode isolated).
	NoGateway bool
	// Aux holds addresses to keep free, by name.
	Aux map[string]netip.Addr
}

func (r *SubnetRequest) anyOfSize() bool {
	return r.Prefix.IsValid() && r.Prefix.Addr().IsUnspecified() && r.Prefix.Bits() > 0
}

// check looks at the request alone; p is its subnet, given or chosen.
func (r *SubnetRequest) check(p netip.Prefix) error {
	if !r.Prefix.IsValid() && (r.Range.IsValid() || r.Gateway.IsValid() || len(r.Aux) > 0) {
		return fmt.Errorf("ip-range, gateway and aux-address: %w: want a --subnet that contains them", ErrInvalid)
	}
	if r.Range.IsValid() {
		switch {
		case r.Range != r.Range.Masked():
			return fmt.Errorf("ip-range %s: %w: it should be %s", r.Range, ErrInvalid, r.Range.Masked())
		case r.Range.Bits() < p.Bits() || !p.Contains(r.Range.Addr()):
			return fmt.Errorf("ip-range %s: %w: outside of subnet %s", r.Range, ErrInvalid, p)
		}
	}
	if r.Gateway.IsValid() {
		if r.NoGateway {
			return fmt.Errorf("gateway %s: %w: an isolated network has none", r.Gateway, ErrInvalid)
		}
		if !p.Contains(r.Gateway) {
			return fmt.Errorf("gateway %s: %w: outside of subnet %s", r.Gateway, ErrInvalid, p)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Aux)) {
		if addr := r.Aux[name]; !p.Contains(addr) {
			return fmt.Errorf("aux-address %s=%s: %w: outside of subnet %s", name, addr, ErrInvalid, p)
		}
	}
	return nil
}

// checkPrefix refuses subnets that can't be on a bridge.
func checkPrefix(p netip.Prefix, f Family) error {
	addr := p.Addr()
	switch {
	case addr.Is4In6() || familyOf(addr) != f:
		return fmt.Errorf("subnet %s: %w: want an %s subnet", p, ErrInvalid, f)
	case p != p.Masked():
		return fmt.Errorf("subnet %s: %w: it should be %s", p, ErrInvalid, p.Masked())
	case addr.IsUnspecified(), addr.IsLoopback(), addr.IsMulticast(), f == IPv6 && addr.IsLinkLocalUnicast():
		return fmt.Errorf("subnet %s: %w: want a unicast subnet like %s", p, ErrInvalid, example(f))
	}
	return nil
}

func example(f Family) string {
	if f == IPv4 {
		return "10.20.0.0/16"
	}
	return "fd12:3456:789a:1::/64"
}

// plan turns the request into the space of subnet p.
func (r *SubnetRequest) plan(p netip.Prefix) (*space, error) {
	if err := r.check(p); err != nil {
		return nil, err
	}
	s := newSpace(model.Subnet{Prefix: p, Range: r.Range, Aux: maps.Clone(r.Aux)})
	if r.Gateway.IsValid() {
		if err := s.reserve(r.Gateway, "the gateway"); err != nil {
			return nil, fmt.Errorf("gateway %w", err)
		}
		s.subnet.Gateway = r.Gateway
	}
	for _, name := range slices.Sorted(maps.Keys(r.Aux)) {
		if err := s.reserve(r.Aux[name], "aux address "+name); err != nil {
			return nil, fmt.Errorf("aux-address %s=%w", name, err)
		}
	}
	if !r.NoGateway && !r.Gateway.IsValid() {
		if err := s.defaultGateway(); err != nil {
			return nil, err
		}
	}
	if uint64(len(s.reserved)) >= sizeOf(p) {
		return nil, fmt.Errorf("subnet %s: %w: too small, no address is left for endpoints", p, ErrInvalid)
	}
	return s, nil
}
