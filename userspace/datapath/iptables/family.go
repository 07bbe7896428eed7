// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// Family is an address family, each with tables of its own.
type Family int

// The families, in the order they are programmed.
const (
	IPv4 Family = iota
	IPv6
)

var families = [...]Family{IPv4, IPv6}

func (f Family) String() string {
	if f == IPv4 {
		return "IPv4"
	}
	return "IPv6"
}

// has reports whether addr is a valid address of the family.
func (f Family) has(addr netip.Addr) bool {
	return addr.IsValid() && addr.Unmap().Is4() == (f == IPv4)
}

func (f Family) subnet(n *datapath.Network) *datapath.Subnet {
	if f == IPv4 {
		return n.IPv4
	}
	return n.IPv6
}

func (f Family) gatewayMode(n *datapath.Network) model.GatewayMode {
	if s := f.subnet(n); s != nil {
		return s.Mode
	}
	return ""
}

// snatSource is the address that replaces MASQUERADE, if any.
func (f Family) snatSource(n *datapath.Network) netip.Addr {
	if s := f.subnet(n); s != nil {
		return s.Source
	}
	return netip.Addr{}
}

func (f Family) endpointAddr(e *datapath.Endpoint) netip.Addr {
	if f == IPv4 {
		return e.IPv4
	}
	return e.IPv6
}

func (f Family) linkAddr(l *datapath.Link) netip.Addr {
	if f == IPv4 {
		return l.IPv4
	}
	return l.IPv6
}

// host writes one address as iptables-save does.
func (f Family) host(addr netip.Addr) string {
	if f == IPv4 {
		return addr.Unmap().String() + "/32"
	}
	return addr.String() + "/128"
}

// to writes the argument of --to-destination.
func (f Family) to(addr netip.Addr, port uint16) string {
	if f == IPv4 {
		return fmt.Sprintf("%s:%d", addr.Unmap(), port)
	}
	return fmt.Sprintf("[%s]:%d", addr, port)
}
