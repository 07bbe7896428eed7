// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

func (s *state) service(id string) *model.Service {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.services[id]
}

// findService resolves a name, an ID or an unambiguous prefix of an ID. Services in
// different networks may have one name.
func (s *state) findService(ref string) (*model.Service, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	named := 0
	for _, svc := range s.services {
		if svc.Name == ref {
			named++
		}
	}
	if named > 1 && s.services[ref] == nil {
		return nil, request.Errorf(request.ErrInvalid, "service %s: %d services in different networks are called so; want an ID", ref, named)
	}
	return find(s.services, "service", ref, func(svc *model.Service) string { return svc.Name })
}

// allServices are ordered by name.
func (s *state) allServices() (all []*model.Service) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, svc := range s.services {
		all = append(all, svc)
	}
	slices.SortFunc(all, func(a, b *model.Service) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return all
}

// servicesOn are those of a network, ordered by name.
func (s *state) servicesOn(networkID string) (all []*model.Service) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for id := range s.servicesOf[networkID] {
		all = append(all, s.services[id])
	}
	slices.SortFunc(all, func(a, b *model.Service) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func serviceNames(all []*model.Service) (names []string) {
	for _, s := range all {
		names = append(names, s.Name)
	}
	return names
}

func serviceClaim(networkID, name string) string {
	return "service " + networkID + " " + strings.ToLower(name)
}

// endpointClaim is of a name that a sandbox is about to have in a network.
func endpointClaim(networkID, name string) string {
	return "endpoint " + networkID + " " + strings.ToLower(name)
}

// claimService keeps a service's name in its networks, for one that is being made until
// release.
func (s *state) claimService(svc *model.Service) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range svc.Networks {
		if err := s.nameFree(in.NetworkID, svc.Name); err != nil {
			return nil, err
		}
	}
	var keys []string
	for _, in := range svc.Networks {
		keys = append(keys, serviceClaim(in.NetworkID, svc.Name))
	}
	return s.claim(keys...), nil
}

// nameFree refuses a name that something in the network has. It needs the lock.
func (s *state) nameFree(networkID, name string) error {
	n := s.networks[networkID]
	if n == nil {
		return request.Errorf(request.ErrNotFound, "network %s not found", shortID(networkID))
	}
	if s.hasService(networkID, name) {
		return request.Errorf(request.ErrConflict, "service name %q: already in use in network %s", name, n.Name)
	}
	if s.claimed[endpointClaim(networkID, name)] > 0 {
		return request.Errorf(request.ErrConflict, "service name %q: a sandbox that is being made is called so in network %s", name, n.Name)
	}
	for id := range s.ofNetwork[networkID] {
		ep := s.endpoints[id]
		sb := s.sandboxes[ep.SandboxID]
		if sb == nil {
			continue
		}
		if slices.ContainsFunc(dnsNames(sb, ep, n), func(has string) bool { return strings.EqualFold(has, name) }) {
			return request.Errorf(request.ErrConflict, "service name %q: sandbox %s is called so in network %s", name, sb.Name, n.Name)
		}
	}
	return nil
}

// hasService reports whether a service of the network has the name. It needs the lock.
func (s *state) hasService(networkID, name string) bool {
	if s.claimed[serviceClaim(networkID, name)] > 0 {
		return true
	}
	return s.servicesNamed[nameOn(networkID, name)] > 0
}

// serviceName is a name in lower case on a network.
type serviceName struct{ networkID, name string }

func nameOn(networkID, name string) serviceName { return serviceName{networkID, strings.ToLower(name)} }

// dropService needs the lock. A service that isn't there is no error.
func (s *state) dropService(id string) {
	svc := s.services[id]
	if svc == nil {
		return
	}
	delete(s.services, id)
	for _, n := range svc.Networks {
		unindex(s.servicesOf, n.NetworkID, id)
		on := nameOn(n.NetworkID, svc.Name)
		if s.servicesNamed[on]--; s.servicesNamed[on] == 0 {
			delete(s.servicesNamed, on)
		}
	}
}

// claimNames keeps the names of a sandbox that is being made, or that is joining a network, from
// services until release: it is seen only once it is stored. It refuses what a service has. Of
// sandboxes several may have one alias.
func (s *state) claimNames(sandbox string, joins []join) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for _, j := range joins {
		n := s.networks[j.networkID]
		if n == nil || n.Default() {
			continue
		}
		for _, name := range append([]string{sandbox}, j.want.Aliases...) {
			if s.hasService(n.ID, name) {
				return nil, request.Errorf(request.ErrConflict, "name %q: a service is called so in network %s", name, n.Name)
			}
			keys = append(keys, endpointClaim(n.ID, name))
		}
	}
	return s.claim(keys...), nil
}

// networkAround returns the network that has the address in a subnet, nil for none.
func (s *state) networkAround(a netip.Addr) *model.Network {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, n := range s.networks {
		for _, sub := range []*model.Subnet{n.IPv4, n.IPv6} {
			if sub != nil && sub.Prefix.Contains(a) {
				return n
			}
		}
	}
	return nil
}
