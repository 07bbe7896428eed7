// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"maps"
	"slices"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// state is what was asked for, by ID.
type state struct {
	host model.Host
	// instance is Options.Instance.
	instance string
	// masquerade are the source ports for it; zero leaves them to netfilter.
	masquerade model.PortRange
	networks   map[string]datapath.Network
	endpoints  map[string]datapath.Endpoint
	ports      map[string][]datapath.Port
	services   map[string]datapath.Service
	resolvers  map[string]datapath.Resolver
}

func newState(masquerade model.PortRange, instance string) state {
	return state{
		masquerade: masquerade,
		instance:   instance,
		networks:   make(map[string]datapath.Network),
		endpoints:  make(map[string]datapath.Endpoint),
		ports:      make(map[string][]datapath.Port),
		services:   make(map[string]datapath.Service),
		resolvers:  make(map[string]datapath.Resolver),
	}
}

// stateOf is the state that want describes, with the settings of before.
func stateOf(before state, want datapath.Desired) state {
	s := newState(before.masquerade, before.instance)
	s.host = before.host
	for _, n := range want.Networks {
		s.networks[n.ID] = n
	}
	for _, e := range want.Endpoints {
		s.endpoints[e.ID] = e
		s.ports[e.ID] = want.Ports[e.ID]
	}
	for _, svc := range want.Services {
		s.services[svc.ID] = svc
	}
	for _, r := range want.Resolvers {
		s.resolvers[r.SandboxID] = r
	}
	return s
}

func (s *state) desired() datapath.Desired {
	return datapath.Desired{
		Networks:  slices.Collect(maps.Values(s.networks)),
		Endpoints: slices.Collect(maps.Values(s.endpoints)),
		Ports:     s.ports,
		Services:  slices.Collect(maps.Values(s.services)),
	}
}

// rulesOfNetwork with their journal; none for an unknown network.
func (s *state) rulesOfNetwork(f Family, id string) []Rule {
	n, ok := s.networks[id]
	if !ok {
		return nil
	}
	return append(journaled(networkRules(f, &n, s.masquerade)), networkJournal(f, &n)...)
}

func (s *state) rulesOfEndpoint(f Family, id string) []Rule {
	e, ok := s.endpoints[id]
	n, known := s.networks[e.NetworkID]
	if !ok || !known {
		return nil
	}
	return journaled(endpointRules(f, &n, &e))
}

func (s *state) rulesOfPorts(f Family, id string, p *proxy) []Rule {
	e, ok := s.endpoints[id]
	n, known := s.networks[e.NetworkID]
	if !ok || !known {
		return nil
	}
	rules := journaled(portRules(f, &n, s.ports[id]))
	if f == IPv6 && !n.Internal {
		rules = append(rules, p.rules(id, func(datapath.Port) bool { return true })...)
	}
	return rules
}

// served is a service with what its rules depend on; ok is false for an unknown one.
func (s *state) served(id string) (of served, ok bool) {
	svc, ok := s.services[id]
	return served{&svc, s.networks, s.endpoints, s.masquerade}, ok
}

// rulesOfServices are those of some services, and of having any at all.
func (s *state) rulesOfServices(f Family, p *proxy, ids ...string) []Rule {
	if len(s.services) == 0 {
		return nil
	}
	rules := servingRules()
	for _, id := range ids {
		of, ok := s.served(id)
		if !ok {
			continue
		}
		rules = append(rules, of.rules(f)...)
		if f == IPv6 {
			rules = append(rules, of.proxyRules(p)...)
		}
	}
	return journaled(rules)
}

// servicesOf are the services that lead to one of the endpoints, or have an address of
// the network.
func (s *state) servicesOf(networkID string, endpoints ...string) []string {
	var ids []string
	for id, svc := range s.services {
		of := slices.ContainsFunc(svc.Fronts, func(fr datapath.Front) bool { return fr.NetworkID != "" && fr.NetworkID == networkID })
		of = of || slices.ContainsFunc(svc.Pools, func(p datapath.Pool) bool {
			return slices.ContainsFunc(p.Backends, func(b datapath.Backend) bool {
				return b.EndpointID != "" && slices.Contains(endpoints, b.EndpointID)
			})
		})
		if of {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// endpointsOf are the IDs of a network's endpoints.
func (s *state) endpointsOf(networkID string) []string {
	var ids []string
	for id, e := range s.endpoints {
		if e.NetworkID == networkID {
			ids = append(ids, id)
		}
	}
	return ids
}

// ruleset is all of it, as it should be in the kernel.
func (s *state) ruleset(f Family, p *proxy, fs facts) *Ruleset {
	want := s.desired()
	rs := rules(f, want, s.masquerade)
	rs.add(onlyJournal(staticRules(f))...)
	for id := range s.networks {
		rs.add(onlyJournal(s.rulesOfNetwork(f, id))...)
	}
	for id := range s.endpoints {
		rs.add(onlyJournal(s.rulesOfEndpoint(f, id))...)
		for _, r := range s.rulesOfPorts(f, id, p) {
			if r.Chain == chainJournal || r.Chain == chainProxy {
				rs.add(r)
			}
		}
	}
	for _, r := range s.rulesOfServices(f, p, slices.Sorted(maps.Keys(s.services))...) {
		if r.Chain == chainJournal || r.Chain == chainProxy {
			rs.add(r)
		}
	}
	rs.add(fs.rules()...)
	for _, table := range tableOrder {
		rs.add(markRule(table, s.instance))
	}
	return rs
}

// onlyJournal returns the journal's share of journaled rules, or makes it.
func onlyJournal(rules []Rule) []Rule {
	if !slices.ContainsFunc(rules, func(r Rule) bool { return r.Chain == chainJournal }) {
		rules = journaled(rules)
	}
	return slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool { return r.Chain != chainJournal })
}
