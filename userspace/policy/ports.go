// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"net/netip"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// Translates reports whether ports are published by address translation in the mode.
func Translates(m model.GatewayMode) bool {
	return m == model.GatewayNAT || m == model.GatewayNATUnprotected
}

// HostAddresses says on which addresses of the host spec is published by g; none means
// not at all. listen6 tells whether the host can listen on IPv6. It follows
// configurePortBindingIPv4 and ...IPv6 of Docker's bridge driver: without a host address
// the port is published in both families, and a container with IPv4 only is reachable
// by IPv6 from the host itself.
func HostAddresses(spec model.PortSpec, g Gateways, listen6 bool) []netip.Addr {
	var out []netip.Addr
	if g.V4 != nil && Translates(g.V4.Network.Bridge.GatewayMode4) {
		if a := hostAddress(spec, g.V4.Network, netip.IPv4Unspecified()); a.Is4() {
			out = append(out, a)
		}
	}
	by, mode := g.V6, model.GatewayMode("")
	switch {
	case by != nil:
		mode = by.Network.Bridge.GatewayMode6
	case g.V4 != nil:
		by, mode = g.V4, g.V4.Network.Bridge.GatewayMode4
	}
	if !Translates(mode) {
		return out
	}
	if a := hostAddress(spec, by.Network, netip.IPv6Unspecified()); a.Is6() && (listen6 || spec.HostIP.IsValid()) {
		out = append(out, a)
	}
	return out
}

// hostAddress is the host address of spec on network n; all stands for every address of
// the family that is asked for.
func hostAddress(spec model.PortSpec, n *model.Network, all netip.Addr) netip.Addr {
	switch {
	case spec.HostIP.IsValid():
		return spec.HostIP
	case n.Bridge.HostBinding.IsValid():
		return n.Bridge.HostBinding
	}
	return all
}

// Carrier finds the gateway endpoint that publication p leads to, and how; "" for none.
// A container with IPv4 only is published in IPv6 for sockets of the host alone.
func Carrier(p model.PublishedPort, g Gateways) (endpointID string, port datapath.Port) {
	port.PublishedPort = p
	by := g.V4
	switch {
	case p.HostIP.Is6() && g.V6 != nil:
		port.Target = g.V6.Endpoint.IPv6.Addr()
		return g.V6.Endpoint.ID, port
	case by == nil:
		return "", port
	}
	port.Target, port.HostOnly = by.Endpoint.IPv4.Addr(), p.HostIP.Is6()
	return by.Endpoint.ID, port
}

// Opening is a port that a container is to publish, as far as gateway mode routed heeds
// it: the host port means nothing there, and the host address only says in which families.
type Opening struct {
	model.Port
	V4, V6 bool
}

// Openings are those of specs.
func Openings(specs []model.PortSpec) []Opening {
	out := make([]Opening, 0, len(specs))
	for _, s := range specs {
		any := !s.HostIP.IsValid()
		out = append(out, Opening{s.Port, any || s.HostIP.Is4(), any || s.HostIP.Is6()})
	}
	return out
}

// Routes reports whether ports are open on a itself, which is in one of n's subnets or
// invalid: n is in gateway mode routed.
func Routes(n *model.Network, a netip.Addr) bool {
	return a.IsValid() && !n.Internal && n.GatewayMode(a) == model.GatewayRouted
}

// Routed says which ports an endpoint of n with these addresses opens on them, each
// once. That holds whether or not the endpoint is its container's gateway.
func Routed(n *model.Network, v4, v6 netip.Addr, openings []Opening) []datapath.Port {
	var out []datapath.Port
	seen := make(map[datapath.Port]bool)
	for _, o := range openings {
		for _, a := range []netip.Addr{v4, v6} {
			if !Routes(n, a) || a.Is4() && !o.V4 || a.Is6() && !o.V6 {
				continue
			}
			p := datapath.Port{PublishedPort: model.PublishedPort{Port: o.Port}, Target: a, Routed: true}
			if !seen[p] {
				seen[p] = true
				out = append(out, p)
			}
		}
	}
	return out
}
