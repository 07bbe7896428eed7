// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"fmt"
	"slices"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// networkRules are the rules of a network itself, in the order Docker makes them
// (moby daemon/libnetwork/drivers/bridge/internal/iptabler/network.go).
func networkRules(f Family, n *datapath.Network, masquerade model.PortRange) []Rule {
	if f.subnet(n) == nil {
		return nil
	}
	if n.Internal {
		return internalRules(f, n)
	}
	return slices.Concat(sourceNATRules(f, n, masquerade), forwardRules(f, n), publishedRules(f, n))
}

// internalRules keep an internal network to itself. No rule lets anything in or
// out by translation; the host reaches its endpoints through INPUT and OUTPUT.
func internalRules(f Family, n *datapath.Network) []Rule {
	br, subnet := n.Device.Name, f.subnet(n).Prefix
	in, out := "! -d %[1]s -i %[2]s -j DROP", "! -s %[1]s -o %[2]s -j DROP"
	if f == IPv6 {
		// Link-local and multicast destinations inside the bridge are outside the subnet.
		in, out = "! -d %[1]s -i %[2]s ! -o %[2]s -j DROP", "! -s %[1]s ! -i %[2]s -o %[2]s -j DROP"
	}
	return []Rule{
		newRule(tableFilter, chainInternal, in, subnet, br).atHead(),
		newRule(tableFilter, chainInternal, out, subnet, br).atHead(),
		newRule(tableFilter, chainForward, "-i %[1]s -o %[1]s -j %[2]s", br, verdict(n.ICC)),
	}
}

func verdict(accept bool) string {
	if accept {
		return "ACCEPT"
	}
	return "DROP"
}

// sourceNATRules hide the endpoints' addresses from the outside, and the host's
// own addresses from endpoints that answer to the gateway only (127.0.0.1).
func sourceNATRules(f Family, n *datapath.Network, ports model.PortRange) []Rule {
	br, target := n.Device.Name, "MASQUERADE"
	if source := f.snatSource(n); source.IsValid() {
		target = "SNAT --to-source " + source.String()
	}
	var rules []Rule
	if n.Masquerade && f.gatewayMode(n) != model.GatewayRouted {
		all := newRule(tableNAT, "POSTROUTING", "-s %s ! -o %s -j %s", f.subnet(n).Prefix, br, target).atHead()
		rules = append(rules, all.inGroup(masqueradeGroup(n)))
		rules = append(rules, boundedRules(f, n, ports)...)
	}
	return append(rules, newRule(tableNAT, "POSTROUTING", "-o %s -m addrtype --src-type LOCAL -j %s",
		br, target).atHead())
}

// boundedRules go before the rule for all protocols where the source ports are
// given.
func boundedRules(f Family, n *datapath.Network, ports model.PortRange) []Rule {
	if ports == (model.PortRange{}) {
		return nil
	}
	target := "MASQUERADE --to-ports " + ports.String()
	switch source := f.snatSource(n); {
	case source.Is4():
		target = fmt.Sprintf("SNAT --to-source %s:%s", source, ports)
	case source.Is6():
		target = fmt.Sprintf("SNAT --to-source [%s]:%s", source, ports)
	}
	var rules []Rule
	for _, proto := range []string{"tcp", "udp"} {
		rules = append(rules, newRule(tableNAT, "POSTROUTING", "-s %s ! -o %s -p %s -j %s",
			f.subnet(n).Prefix, n.Device.Name, proto, target).atHead().inGroup(masqueradeGroup(n)))
	}
	return rules
}

// masqueradeGroup keeps the rule for all protocols behind those for single ones.
func masqueradeGroup(n *datapath.Network) string { return n.ID + " masquerade" }

// forwardRules say what leaves the bridge and what stays in it.
func forwardRules(f Family, n *datapath.Network) []Rule {
	br := n.Device.Name
	var rules []Rule
	if n.ICC {
		rules = append(rules, newRule(tableFilter, chainForward, "-i %s -j ACCEPT", br))
	} else {
		rules = append(rules,
			newRule(tableFilter, chainForward, "-i %[1]s -o %[1]s -j DROP", br).inGroup(n.ID),
			newRule(tableFilter, chainForward, "-i %[1]s ! -o %[1]s -j ACCEPT", br).inGroup(n.ID))
	}
	return append(rules,
		newRule(tableFilter, chainCT, "-o %s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", br),
		newRule(tableFilter, chainBridge, "-o %s -j %s", br, chainDocker))
}

// publishedRules close the bridge to all that no port opens. They come after the
// ports' own rules, which are inserted at the head of the chain.
func publishedRules(f Family, n *datapath.Network) []Rule {
	br, mode := n.Device.Name, f.gatewayMode(n)
	var rules []Rule
	switch {
	case mode == model.GatewayRouted && f == IPv4:
		rules = append(rules, newRule(tableFilter, chainDocker, "-o %s -p icmp -j ACCEPT", br).inGroup(n.ID))
	case mode == model.GatewayRouted:
		rules = append(rules, newRule(tableFilter, chainDocker, "-o %s -p ipv6-icmp -j ACCEPT", br).inGroup(n.ID))
	case f == IPv6 && !n.ICC:
		for _, r := range discoveryRules(chainDocker, br) {
			rules = append(rules, r.inGroup(n.ID))
		}
	}
	return append(rules, newRule(tableFilter, chainDocker, "! -i %[1]s -o %[1]s -j %[2]s",
		br, verdict(mode == model.GatewayNATUnprotected)).inGroup(n.ID))
}

// discoveryRules let neighbour discovery pass in a bridge: it is filtered there, where
// ARP is not.
func discoveryRules(chain, br string) []Rule {
	var rules []Rule
	for _, icmpType := range []int{135, 136} {
		rules = append(rules, newRule(tableFilter, chain, "-i %[1]s -o %[1]s -p ipv6-icmp -m icmp6 --icmpv6-type %[2]d -j ACCEPT", br, icmpType))
	}
	return rules
}
