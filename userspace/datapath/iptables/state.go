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
	resolvers  map[string]datapath.Resolver
}

func newState(masquerade model.PortRange, instance string) state {
	return state{
		masquerade: masquerade,
		instance:   instance,
		networks:   make(map[string]datapath.Network),
		endpoints:  make(map[string]datapath.Endpoint),
		ports:      make(map[string][]datapath.Port),
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
		rules = append(rules, p.rules(id)...)
	}
	return rules
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
