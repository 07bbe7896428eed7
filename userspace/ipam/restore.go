// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/model"
)

func (m *Manager) restore(n *model.Network, endpoints []model.Endpoint) error {
	delete(m.networks, n.ID)
	kept := &network{name: n.Name, spaces: map[Family]*space{}}
	var errs []error
	for f, sub := range map[Family]*model.Subnet{IPv4: n.IPv4, IPv6: n.IPv6} {
		if sub == nil {
			continue
		}
		errs = append(errs, m.overlap(sub.Prefix, Host{}))
		kept.spaces[f] = restoreSpace(*sub)
	}
	for i := range endpoints {
		if endpoints[i].NetworkID == n.ID {
			errs = append(errs, kept.restoreEndpoint(&endpoints[i]))
		}
	}
	m.networks[n.ID] = kept
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("restore network %q: %w", n.Name, err)
	}
	return nil
}

func restoreSpace(sub model.Subnet) *space {
	s := newSpace(*cloneSubnet(sub))
	if sub.Gateway.IsValid() && s.available(sub.Gateway) == nil {
		s.take(sub.Gateway, "the gateway")
	}
	for name, addr := range sub.Aux {
		if s.available(addr) == nil {
			s.take(addr, "aux address "+name)
		}
	}
	return s
}

func (n *network) restoreEndpoint(e *model.Endpoint) error {
	return errors.Join(
		n.restoreAddr(IPv4, e.IPv4, e.Requested4, e.ID),
		n.restoreAddr(IPv6, e.IPv6, e.Requested6, e.ID))
}

// RestoreAddress takes an address that was given out before the daemon started, of somebody
// who is no endpoint; whose it is stands in the error.
func (m *Manager) RestoreAddress(networkID string, addr netip.Addr, requested bool, whose string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.space(networkID, familyOf(addr))
	if err != nil {
		return fmt.Errorf("%s: address %s: %w", whose, addr, err)
	}
	if err := s.request(addr); err != nil {
		return fmt.Errorf("%s: address %w", whose, err)
	}
	if !requested {
		s.passBy(addr)
	}
	return nil
}

func (n *network) restoreAddr(f Family, p netip.Prefix, requested bool, endpointID string) error {
	if !p.IsValid() {
		return nil
	}
	s, ok := n.spaces[f]
	if !ok {
		return fmt.Errorf("endpoint %s: address %s: %w: %s is off", endpointID, p.Addr(), ErrUnknownNetwork, f)
	}
	if err := s.request(p.Addr()); err != nil {
		return fmt.Errorf("endpoint %s: address %w", endpointID, err)
	}
	if !requested {
		s.passBy(p.Addr())
	}
	return nil
}

// passBy moves the cursor behind addr if it isn't there yet.
func (s *space) passBy(addr netip.Addr) {
	if s.auto.Contains(addr) && !addr.Less(s.cursor) {
		s.cursor = s.after(addr)
	}
}
