// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// portRules are the rules of an endpoint's published ports (moby
// .../iptabler/port.go). Two publications of one container port share the rules
// that name the container's side only.
func portRules(f Family, n *datapath.Network, ports []datapath.Port) []Rule {
	if n.Internal || f.subnet(n) == nil {
		return nil
	}
	var rules []Rule
	for i := range ports {
		p := &ports[i]
		if p.HostOnly || !f.has(p.Target) {
			continue
		}
		if !p.Routed {
			rules = append(rules, loopbackRules(f, p)...)
			rules = append(rules, translationRules(f, p)...)
		}
		if f.gatewayMode(n) != model.GatewayNATUnprotected {
			rules = append(rules, newRule(tableFilter, chainDocker,
				"-d %s ! -i %[2]s -o %[2]s -p %[3]s -m %[3]s --dport %[4]d -j ACCEPT",
				f.host(p.Target), n.Device.Name, p.Port.Proto, p.Port.Num).atHead())
		}
		if !p.Routed && !n.ICC {
			rules = append(rules, peerRule(f, n, p))
		}
	}
	return unique(rules)
}

// peerRule lets a peer of a network with icc=false in that came by a host
// address, as it would with docker-proxy, but not one that addressed the
// container itself.
func peerRule(f Family, n *datapath.Network, p *datapath.Port) Rule {
	return newRule(tableFilter, chainDocker,
		"-d %[1]s -i %[2]s -o %[2]s -p %[3]s -m %[3]s --dport %[4]d -m conntrack ! --ctorigdst %[5]s -j ACCEPT",
		f.host(p.Target), n.Device.Name, p.Port.Proto, p.Port.Num, p.Target.Unmap()).atHead()
}

// loopbackRules refuse packets from outside to a port on a loopback address,
// which route_localnet would let in.
func loopbackRules(f Family, p *datapath.Port) []Rule {
	if f != IPv4 || !p.HostIP.IsLoopback() {
		return nil
	}
	return []Rule{newRule(tableRaw, "PREROUTING", "-d %s ! -i lo -p %[2]s -m %[2]s --dport %[3]d -j DROP",
		f.host(p.HostIP), p.Port.Proto, p.HostPort)}
}

// translationRules lead a host port to the container, from the container itself too.
func translationRules(f Family, p *datapath.Port) []Rule {
	proto := p.Port.Proto
	target := f.host(p.Target)
	hairpin := newRule(tableNAT, "POSTROUTING", "-s %[1]s -d %[1]s -p %[2]s -m %[2]s --dport %[3]d -j MASQUERADE",
		target, proto, p.Port.Num)
	hairpin.Recognized = true
	return []Rule{dnatRule(f, p), hairpin}
}

// dnatRule is appended, as Docker does it, unless it names a host address: those
// go to the head so that the more specific publication wins.
func dnatRule(f Family, p *datapath.Port) Rule {
	match := ""
	if f == IPv6 {
		match = "! -s fe80::/10 "
	}
	if !p.HostIP.IsUnspecified() {
		match += "-d " + f.host(p.HostIP) + " "
	}
	r := newRule(tableNAT, chainDocker, "%[1]s-p %[2]s -m %[2]s --dport %[3]d -j DNAT --to-destination %[4]s",
		match, p.Port.Proto, p.HostPort, f.to(p.Target, p.Port.Num))
	r.Head = !p.HostIP.IsUnspecified()
	return r
}
