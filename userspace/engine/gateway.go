// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/model"
)

// attachment is an endpoint with its network: what most decisions about a
// sandbox need.
type attachment struct {
	ep  *model.Endpoint
	net *model.Network
}

// gateways are the endpoints that carry a sandbox's default routes and
// publish its ports; the two may differ, and either may be nil.
type gateways struct {
	v4, v6 *attachment
}

// elect picks the gateways among a sandbox's endpoints by the order of Docker's
// Endpoint.Less: priority, not internal, dual-stack, then the network's name.
func elect(all []attachment) gateways {
	sorted := slices.SortedFunc(slices.Values(all), compareAttachments)
	var g gateways
	for i := range sorted {
		a := &sorted[i]
		if g.v4 == nil && hasGateway(a, a.ep.IPv4.Addr(), a.net.IPv4) {
			g.v4 = a
		}
		if g.v6 == nil && hasGateway(a, a.ep.IPv6.Addr(), a.net.IPv6) {
			g.v6 = a
		}
	}
	return g
}

func compareAttachments(a, b attachment) int {
	return cmp.Or(
		cmp.Compare(b.ep.GwPriority, a.ep.GwPriority),
		compareBool(a.net.Internal, b.net.Internal),
		compareBool(dualStack(b.ep), dualStack(a.ep)),
		cmp.Compare(a.net.Name, b.net.Name),
	)
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func dualStack(ep *model.Endpoint) bool { return ep.IPv4.IsValid() && ep.IPv6.IsValid() }

// hasGateway reports whether a default route can lead through the endpoint's
// network in the family of addr.
func hasGateway(a *attachment, addr netip.Addr, s *model.Subnet) bool {
	return addr.IsValid() && !a.net.Internal && s != nil && s.Gateway.IsValid()
}

// endpointID returns the endpoint's ID, or "" for no gateway.
func (a *attachment) endpointID() string {
	if a == nil {
		return ""
	}
	return a.ep.ID
}
