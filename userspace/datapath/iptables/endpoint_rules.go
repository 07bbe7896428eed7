// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// endpointRules are the rules of one endpoint whether or not it publishes
// anything (moby .../iptabler/endpoint.go and link.go).
func endpointRules(f Family, n *datapath.Network, e *datapath.Endpoint) []Rule {
	addr := f.endpointAddr(e)
	if !f.has(addr) || f.subnet(n) == nil {
		return nil
	}
	return append(directAccessRules(f, n, e), linkRules(f, n, e)...)
}

// directAccessRules refuse packets that were routed to the endpoint's own
// address from outside, before anything is translated.
func directAccessRules(f Family, n *datapath.Network, e *datapath.Endpoint) []Rule {
	mode := f.gatewayMode(n)
	if n.Internal || mode == model.GatewayNATUnprotected || mode == model.GatewayRouted {
		return nil
	}
	host := f.host(f.endpointAddr(e))
	var rules []Rule
	for _, dev := range n.Trusted {
		rules = append(rules, newRule(tableRaw, "PREROUTING", "-d %s -i %s -j ACCEPT", host, dev).inGroup(e.ID))
	}
	return append(rules, newRule(tableRaw, "PREROUTING", "-d %s ! -i %s -j DROP", host, n.Device.Name).inGroup(e.ID))
}

// linkRules are the holes that links make in icc=false, one pair per port.
func linkRules(f Family, n *datapath.Network, e *datapath.Endpoint) []Rule {
	if n.ICC || n.Internal {
		return nil
	}
	br, self := n.Device.Name, f.host(f.endpointAddr(e))
	var rules []Rule
	for _, l := range e.Links {
		if !f.has(f.linkAddr(&l)) {
			continue
		}
		peer := f.host(f.linkAddr(&l))
		for _, p := range l.Ports {
			rules = append(rules,
				newRule(tableFilter, chainDocker, "-s %s -d %s -i %[3]s -o %[3]s -p %[4]s -m %[4]s --dport %[5]d -j ACCEPT",
					self, peer, br, p.Proto, p.Num),
				newRule(tableFilter, chainDocker, "-s %s -d %s -i %[3]s -o %[3]s -p %[4]s -m %[4]s --sport %[5]d -j ACCEPT",
					peer, self, br, p.Proto, p.Num))
		}
	}
	return unique(rules)
}

// unique drops rules that were said before.
func unique(rules []Rule) []Rule {
	seen := make(map[key]bool, len(rules))
	out := rules[:0]
	for _, r := range rules {
		if !seen[r.key()] {
			seen[r.key()] = true
			out = append(out, r)
		}
	}
	return out
}
