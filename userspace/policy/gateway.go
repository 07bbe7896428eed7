// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/model"
)

// Attachment is an endpoint with its network. Of the endpoint the ID, the addresses and
// the priority matter here.
type Attachment struct {
	Endpoint *model.Endpoint
	Network  *model.Network
}

// Gateway4 and Gateway6 return the address that a default route by this attachment can
// lead through; invalid for none.
func (a Attachment) Gateway4() netip.Addr { return a.gateway(a.Endpoint.IPv4, a.Network.IPv4) }

// Gateway6 is Gateway4 for IPv6.
func (a Attachment) Gateway6() netip.Addr { return a.gateway(a.Endpoint.IPv6, a.Network.IPv6) }

func (a Attachment) gateway(addr netip.Prefix, s *model.Subnet) netip.Addr {
	if !addr.IsValid() || a.Network.Internal || s == nil {
		return netip.Addr{}
	}
	return s.Gateway
}

// Gateways are the endpoints that carry a container's default routes and publish its
// ports, by family; the two may differ, and either may be nil.
type Gateways struct{ V4, V6 *Attachment }

// Elect picks the gateways among the attachments of a container, the first in the order
// of Compare that can be one.
func Elect(all []Attachment) Gateways {
	var g Gateways
	for _, a := range slices.SortedFunc(slices.Values(all), Compare) {
		if g.V4 == nil && a.Gateway4().IsValid() {
			g.V4 = &a
		}
		if g.V6 == nil && a.Gateway6().IsValid() {
			g.V6 = &a
		}
	}
	return g
}

// Compare orders the attachments of a container as Docker's Endpoint.Less does: by
// priority, not internal before internal, both families before one, then by the
// network's name.
func Compare(a, b Attachment) int {
	return cmp.Or(
		cmp.Compare(b.Endpoint.GwPriority, a.Endpoint.GwPriority),
		falseFirst(a.Network.Internal, b.Network.Internal),
		falseFirst(!dualStack(a.Endpoint), !dualStack(b.Endpoint)),
		cmp.Compare(a.Network.Name, b.Network.Name),
	)
}

func dualStack(ep *model.Endpoint) bool { return ep.IPv4.IsValid() && ep.IPv6.IsValid() }

func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Is reports whether a is the endpoint with this ID; no gateway is nobody's.
func (a *Attachment) Is(endpointID string) bool { return a != nil && a.Endpoint.ID == endpointID }
