// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"cmp"
	"slices"

	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/model"
)

// Gateways are the endpoints of a container that carry its default routes and
// publish its ports, by family; nil for none.
type Gateways struct {
	V4, V6 *Attached
}

// Attached is a container's endpoint with its network.
type Attached struct {
	Endpoint
	Network  *model.Network
	Priority int
}

// Attachments finds a container's endpoints among the networks. Those on networks
// that aren't bridges of this host are left out.
func Attachments(c client.Container, networks map[string]Network) []Attached {
	var all []Attached
	for _, a := range c.NetworkSettings.Networks {
		n, ok := networks[a.NetworkID]
		if !ok {
			continue
		}
		i := slices.IndexFunc(n.Endpoints, func(e Endpoint) bool { return e.ID == a.EndpointID })
		if i >= 0 {
			all = append(all, Attached{n.Endpoints[i], &n.Network, a.GwPriority})
		}
	}
	return all
}

// Elect picks the gateways in the order of Docker's Endpoint.Less: priority, not
// internal, both families, then the network's name.
func Elect(all []Attached) Gateways {
	sorted := slices.SortedFunc(slices.Values(all), func(a, b Attached) int {
		return cmp.Or(
			cmp.Compare(b.Priority, a.Priority),
			falseFirst(a.Network.Internal, b.Network.Internal),
			falseFirst(!dualStack(a), !dualStack(b)),
			cmp.Compare(a.Network.Name, b.Network.Name),
		)
	})
	var g Gateways
	for i := range sorted {
		a := &sorted[i]
		if a.Network.Internal {
			continue
		}
		if g.V4 == nil && a.IPv4.IsValid() && hasGateway(a.Network.IPv4) {
			g.V4 = a
		}
		if g.V6 == nil && a.IPv6.IsValid() && hasGateway(a.Network.IPv6) {
			g.V6 = a
		}
	}
	return g
}

func hasGateway(s *model.Subnet) bool { return s != nil && s.Gateway.IsValid() }

func dualStack(a Attached) bool { return a.IPv4.IsValid() && a.IPv6.IsValid() }

func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
