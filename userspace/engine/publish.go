// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"math"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// publication is one port specification with the host addresses that it is
// published on now. All of them get the same host port, as in Docker.
type publication struct {
	spec    model.PortSpec
	hostIPs []netip.Addr
}

// choice is the number of host ports to choose from.
func (p publication) choice() int {
	if p.spec.HostPort == 0 {
		return math.MaxUint16
	}
	return int(p.spec.HostPortEnd) - int(p.spec.HostPort) + 1
}

// publications says where the ports of sb are to be published when g carries
// its default routes. listen6 tells whether the host can listen on IPv6.
func publications(sb *model.Sandbox, g gateways, listen6 bool) []publication {
	var out []publication
	for _, spec := range wantedSpecs(sb) {
		if ips := hostAddrs(spec, g, listen6); len(ips) > 0 {
			out = append(out, publication{spec, ips})
		}
	}
	return out
}

// wantedSpecs returns the -p specifications, and with -P one for any host port
// for each exposed port that has none.
func wantedSpecs(sb *model.Sandbox) []model.PortSpec {
	specs := slices.Clone(sb.Specs)
	if !sb.PublishAll {
		return specs
	}
	for _, p := range sb.Exposed {
		has := slices.ContainsFunc(specs, func(s model.PortSpec) bool { return s.Port == p })
		if !has {
			specs = append(specs, model.PortSpec{Port: p})
		}
	}
	return specs
}

// hostAddrs follows configurePortBindingIPv4 and ...IPv6 of Docker's bridge
// driver: without a host address the port is published in both families, and an
// IPv4-only sandbox is reachable by IPv6 from the host itself.
func hostAddrs(spec model.PortSpec, g gateways, listen6 bool) []netip.Addr {
	var out []netip.Addr
	if g.v4 != nil && translates(g.v4.net.Bridge.GatewayMode4) {
		if a := bindingAddr(spec, g.v4.net, netip.IPv4Unspecified()); a.Is4() {
			out = append(out, a)
		}
	}
	v6 := g.v6
	if v6 == nil {
		v6 = g.v4
		if v6 == nil || !translates(v6.net.Bridge.GatewayMode4) {
			return out
		}
	} else if !translates(v6.net.Bridge.GatewayMode6) {
		return out
	}
	if a := bindingAddr(spec, v6.net, netip.IPv6Unspecified()); a.Is6() && (listen6 || spec.HostIP.IsValid()) {
		out = append(out, a)
	}
	return out
}

// bindingAddr is the host address of spec on network n; all stands for every
// address of the family that is asked for.
func bindingAddr(spec model.PortSpec, n *model.Network, all netip.Addr) netip.Addr {
	switch {
	case spec.HostIP.IsValid():
		return spec.HostIP
	case n.Bridge.HostBinding.IsValid():
		return n.Bridge.HostBinding
	}
	return all
}

func translates(m model.GatewayMode) bool {
	return m == model.GatewayNAT || m == model.GatewayNATUnprotected
}

// derivePorts turns the publications in force and the routed ones into what
// the datapath is to do, by endpoint ID. Every endpoint has an entry.
func derivePorts(sb *model.Sandbox, all []attachment) map[string][]datapath.Port {
	g := elect(all)
	out := make(map[string][]datapath.Port, len(all))
	for _, a := range all {
		out[a.ep.ID] = routedPorts(sb, a)
	}
	for _, p := range sb.Published {
		id, port := carrier(p, g)
		if id != "" {
			out[id] = append(out[id], port)
		}
	}
	return out
}

// carrier finds the gateway endpoint that publication p leads to.
func carrier(p model.PublishedPort, g gateways) (string, datapath.Port) {
	port := datapath.Port{PublishedPort: p}
	switch {
	case p.HostIP.Is4() && g.v4 != nil:
		port.Target = g.v4.ep.IPv4.Addr()
		return g.v4.ep.ID, port
	case p.HostIP.Is6() && g.v6 != nil:
		port.Target = g.v6.ep.IPv6.Addr()
		return g.v6.ep.ID, port
	case p.HostIP.Is6() && g.v4 != nil:
		port.Target, port.HostOnly = g.v4.ep.IPv4.Addr(), true
		return g.v4.ep.ID, port
	}
	return "", port
}

// routedPorts opens the ports of sb on a network in gateway mode routed, which
// holds whether or not the network is the sandbox's gateway.
func routedPorts(sb *model.Sandbox, a attachment) []datapath.Port {
	if a.net.Internal {
		return nil
	}
	var out []datapath.Port
	for _, addr := range []netip.Addr{a.ep.IPv4.Addr(), a.ep.IPv6.Addr()} {
		if !addr.IsValid() || a.net.GatewayMode(addr) != model.GatewayRouted {
			continue
		}
		for _, spec := range wantedSpecs(sb) {
			if spec.HostIP.IsValid() && spec.HostIP.Is4() != addr.Is4() {
				continue
			}
			out = append(out, datapath.Port{
				PublishedPort: model.PublishedPort{Port: spec.Port}, Target: addr, Routed: true,
			})
		}
	}
	return out
}

// keep splits the publications in force into those that pubs still asks for and
// those to give up, and adds to each publication the host port it had, so that
// a change of the gateway doesn't renumber ports (moby#44137).
func keep(published []model.PublishedPort, pubs []publication) (kept, released []model.PublishedPort, missing []publication) {
	// By container port: a sandbox may have thousands.
	left := make(map[model.Port][]model.PublishedPort)
	for _, p := range published {
		left[p.Port] = append(left[p.Port], p)
	}
	// Those with the least choice first, so that none takes another's number.
	ordered := slices.SortedStableFunc(slices.Values(pubs), func(a, b publication) int { return cmp.Compare(a.choice(), b.choice()) })
	for _, pub := range ordered {
		var held []model.PublishedPort
		held, left[pub.spec.Port] = takeHeld(left[pub.spec.Port], pub)
		if len(held) == 0 {
			missing = append(missing, pub)
			continue
		}
		kept = append(kept, held...)
		rest := publication{spec: pub.spec}
		rest.spec.HostPort, rest.spec.HostPortEnd = held[0].HostPort, held[0].HostPort
		for _, ip := range pub.hostIPs {
			if !slices.ContainsFunc(held, func(p model.PublishedPort) bool { return p.HostIP == ip }) {
				rest.hostIPs = append(rest.hostIPs, ip)
			}
		}
		if len(rest.hostIPs) > 0 {
			missing = append(missing, rest)
		}
	}
	for _, p := range left {
		released = append(released, p...)
	}
	return kept, released, missing
}

// takeHeld splits the publications of one container port into those that serve
// pub, all with one host port, and the rest.
func takeHeld(all []model.PublishedPort, pub publication) (held, rest []model.PublishedPort) {
	for _, p := range all {
		if !serves(p, pub) || (len(held) > 0 && (held[0].HostPort != p.HostPort || hasIP(held, p.HostIP))) {
			rest = append(rest, p)
			continue
		}
		held = append(held, p)
	}
	return held, rest
}

func serves(p model.PublishedPort, pub publication) bool {
	if p.Port != pub.spec.Port || !slices.Contains(pub.hostIPs, p.HostIP) {
		return false
	}
	return pub.spec.HostPort == 0 || (p.HostPort >= pub.spec.HostPort && p.HostPort <= pub.spec.HostPortEnd)
}

func hasIP(held []model.PublishedPort, ip netip.Addr) bool {
	return slices.ContainsFunc(held, func(p model.PublishedPort) bool { return p.HostIP == ip })
}

// explicitSpecs writes publications as one specification per host address;
// package ports gives those that differ in it only the same host port.
func explicitSpecs(pubs []publication) []model.PortSpec {
	var out []model.PortSpec
	for _, pub := range pubs {
		for _, ip := range pub.hostIPs {
			spec := pub.spec
			spec.HostIP = ip
			out = append(out, spec)
		}
	}
	return out
}
