// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/fairway-project/fairway/userspace/model"
)

// Manager holds the subnets of all networks of one host. Its methods may be
// called at the same time.
type Manager struct {
	pools []Pool

	mu       sync.Mutex
	networks map[string]*network
	reserved []netip.Prefix
}

type network struct {
	name   string
	spaces map[Family]*space
}

// New returns a Manager without networks. Without pools it uses DefaultPools;
// the first pool is the one that the default bridge prefers.
func New(pools ...Pool) *Manager {
	if len(pools) == 0 {
		pools = DefaultPools()
	}
	return &Manager{pools: pools, networks: map[string]*network{}}
}

// Reserve keeps automatic subnets, not explicit ones, off what others are going to
// use, in the place of what was reserved before.
func (m *Manager) Reserve(subnets []netip.Prefix) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reserved = subnets
}

// NetworkRequest asks for the subnets of a new network.
type NetworkRequest struct {
	// ID is the network's, Name what errors call it.
	ID, Name string
	// Default marks the predefined network "bridge".
	Default bool
	// IPv4 and IPv6 are nil where the family is off.
	IPv4, IPv6 *SubnetRequest
	Host       Host
}

// AddNetwork chooses and registers the subnets of a network, both or none. The
// results are nil where the request is. Errors are ErrInvalid, ErrOverlap,
// ErrNoPool and ErrInUse.
func (m *Manager) AddNetwork(r NetworkRequest) (v4, v6 *model.Subnet, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.networks[r.ID]; ok {
		return nil, nil, fmt.Errorf("network %q: subnets %w", r.Name, ErrInUse)
	}
	n := &network{name: r.Name, spaces: map[Family]*space{}}
	if v4, err = m.addFamily(n, &r, IPv4, r.IPv4); err != nil {
		return nil, nil, err
	}
	if v6, err = m.addFamily(n, &r, IPv6, r.IPv6); err != nil {
		return nil, nil, err
	}
	m.networks[r.ID] = n
	return v4, v6, nil
}

func (m *Manager) addFamily(n *network, r *NetworkRequest, f Family, sub *SubnetRequest) (*model.Subnet, error) {
	if sub == nil {
		return nil, nil
	}
	prefix, err := m.choose(r, f, sub)
	if err != nil {
		return nil, err
	}
	s, err := sub.plan(prefix)
	if err != nil {
		return nil, err
	}
	n.spaces[f] = s
	return cloneSubnet(s.subnet), nil
}

// choose returns the subnet asked for, if it is free, or a free one.
func (m *Manager) choose(r *NetworkRequest, f Family, sub *SubnetRequest) (netip.Prefix, error) {
	free := func(p netip.Prefix) bool {
		return m.overlap(p, r.Host) == nil && !hasNameserver(p, r.Host) && !slices.ContainsFunc(m.reserved, p.Overlaps)
	}
	switch {
	case f == IPv4 && sub.anyOfSize() && familyOf(sub.Prefix.Addr()) == IPv4:
		return pick(m.pools, sub.Prefix.Bits(), r.Default, free)
	case sub.Prefix.IsValid():
		if err := checkPrefix(sub.Prefix, f); err != nil {
			return netip.Prefix{}, err
		}
		return sub.Prefix, m.overlap(sub.Prefix, r.Host)
	case f == IPv4:
		return pick(m.pools, 0, r.Default, free)
	}
	return pickULA(r.ID, free)
}

// overlap tells which network or route p shares addresses with.
func (m *Manager) overlap(p netip.Prefix, host Host) error {
	for _, id := range slices.Sorted(maps.Keys(m.networks)) {
		n := m.networks[id]
		for _, s := range n.spaces {
			if s.subnet.Prefix.Overlaps(p) {
				return fmt.Errorf("subnet %s: %w: network %q has %s", p, ErrOverlap, n.name, s.subnet.Prefix)
			}
		}
	}
	for _, route := range host.Routes {
		if route.Bits() > 1 && route.Overlaps(p) {
			return fmt.Errorf("subnet %s: %w: the host has a route to %s", p, ErrOverlap, route)
		}
	}
	return nil
}

func hasNameserver(p netip.Prefix, host Host) bool {
	return slices.ContainsFunc(host.Nameservers, func(a netip.Addr) bool { return p.Contains(a.WithZone("")) })
}

// RestoreNetwork registers a stored network and the addresses of its endpoints
// as they are, without looking at the host. An error names what contradicts
// itself in the stored state (an overlap, an address given twice); the rest of
// the network is registered nonetheless.
func (m *Manager) RestoreNetwork(n *model.Network, endpoints []model.Endpoint) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.restore(n, endpoints)
}

// RemoveNetwork forgets a network and all its addresses. Removing what is gone does nothing.
func (m *Manager) RemoveNetwork(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.networks, id)
}

// Has reports whether the network has addresses of the family here.
func (m *Manager) Has(id string, f Family) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.space(id, f)
	return err == nil
}

func (m *Manager) space(id string, f Family) (*space, error) {
	n, ok := m.networks[id]
	if !ok {
		return nil, fmt.Errorf("network %s: %w", id, ErrUnknownNetwork)
	}
	s, ok := n.spaces[f]
	if !ok {
		return nil, fmt.Errorf("network %q: %w: %s is off", n.name, ErrUnknownNetwork, f)
	}
	return s, nil
}

func cloneSubnet(s model.Subnet) *model.Subnet {
	s.Aux = maps.Clone(s.Aux)
	return &s
}
