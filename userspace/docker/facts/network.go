// SPDX-License-Identifier: Apache-2.0

// Package facts translates what a Docker Engine says into the values of packages
// model and datapath. It is pure: no call leaves it.
//
// Be aware:
//   - ports of a container with several networks are the gateway endpoint's, which
//     no answer names; it is elected by Docker's order (package policy);
//   - ports on networks in gateway mode routed have no host ports. The list of
//     containers doesn't tell them from exposed ones, or leaves them out (engines
//     from 29), so that the containers' own inspections have to (Openings).
package facts

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
)

// Network is a bridge network of Docker's with its endpoints on this host.
type Network struct {
	model.Network
	Endpoints []Endpoint
}

// Endpoint is an endpoint as Docker's API has it; which device is its own the API
// doesn't say.
type Endpoint struct {
	ID, NetworkID string
	// Container is the container's ID, empty while the engine knows no sandbox.
	Container, Name string
	MAC             model.MAC
	// IPv4 and IPv6 are invalid for a family that is off.
	IPv4, IPv6 netip.Addr
}

// IsBridge reports whether the bridge driver made the network on this host.
func IsBridge(n client.Network) bool { return n.Driver == "bridge" && n.Scope != "swarm" }

// BridgeNetwork translates an inspected network. bridgeAddrs are the addresses of
// its device, which tell a gateway that Docker chose by itself.
func BridgeNetwork(n client.Network, bridgeAddrs []netip.Prefix) (Network, error) {
	out := Network{Network: model.Network{
		ID: n.ID, Name: n.Name, Driver: model.DriverBridge, Internal: n.Internal, Options: n.Options,
	}}
	out.Created, _ = time.Parse(time.RFC3339Nano, n.Created)
	var err error
	if out.Bridge, err = policy.ReadBridge(n.ID, n.Options); err != nil {
		return out, fmt.Errorf("docker network %s: %w", n.Name, err)
	}
	for _, pool := range n.IPAM.Config {
		s, err := subnet(pool, bridgeAddrs)
		if err != nil {
			return out, fmt.Errorf("docker network %s: %w", n.Name, err)
		}
		switch is4 := s.Prefix.Addr().Is4(); {
		case is4 && (n.EnableIPv4 == nil || *n.EnableIPv4) && out.IPv4 == nil:
			out.IPv4 = &s
		case !is4 && n.EnableIPv6 && out.IPv6 == nil:
			out.IPv6 = &s
		}
	}
	withoutGateway(&out.Network)
	for key, e := range n.Containers {
		ep, err := endpoint(n, key, e)
		if err != nil {
			return out, err
		}
		out.Endpoints = append(out.Endpoints, ep)
	}
	out.Endpoints = withoutStale(out.Endpoints)
	slices.SortFunc(out.Endpoints, func(a, b Endpoint) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

// withoutStale leaves out what an engine that was killed left behind: an endpoint of
// nobody's whose address or MAC address a container has got since.
func withoutStale(all []Endpoint) []Endpoint {
	return slices.DeleteFunc(slices.Clone(all), func(e Endpoint) bool {
		return e.Container == "" && slices.ContainsFunc(all, func(o Endpoint) bool {
			return o.Container != "" && (o.MAC == e.MAC || o.IPv4.IsValid() && o.IPv4 == e.IPv4 || o.IPv6.IsValid() && o.IPv6 == e.IPv6)
		})
	})
}

// withoutGateway takes the gateway away from families in mode isolated.
func withoutGateway(n *model.Network) {
	if n.IPv4 != nil && n.Bridge.GatewayMode4 == model.GatewayIsolated {
		n.IPv4.Gateway = netip.Addr{}
	}
	if n.IPv6 != nil && n.Bridge.GatewayMode6 == model.GatewayIsolated {
		n.IPv6.Gateway = netip.Addr{}
	}
}

func subnet(p client.Pool, bridgeAddrs []netip.Prefix) (model.Subnet, error) {
	var s model.Subnet
	prefix, err := netip.ParsePrefix(p.Subnet)
	if err != nil {
		return s, fmt.Errorf("subnet %q: %w", p.Subnet, err)
	}
	s.Prefix = prefix.Masked()
	if p.IPRange != "" {
		if s.Range, err = netip.ParsePrefix(p.IPRange); err != nil {
			return s, fmt.Errorf("ip-range %q: %w", p.IPRange, err)
		}
	}
	if p.Gateway == "" {
		s.Gateway = chosenGateway(s.Prefix, bridgeAddrs)
		return s, nil
	}
	// Some versions write the gateway with its prefix length.
	text, _, _ := strings.Cut(p.Gateway, "/")
	if s.Gateway, err = netip.ParseAddr(text); err != nil {
		return s, fmt.Errorf("gateway %q: %w", p.Gateway, err)
	}
	return s, nil
}

// chosenGateway finds the gateway that Docker's IPAM took: what the bridge has,
// else the first address of the subnet.
func chosenGateway(subnet netip.Prefix, bridgeAddrs []netip.Prefix) netip.Addr {
	for _, a := range bridgeAddrs {
		if subnet.Contains(a.Addr()) {
			return a.Addr()
		}
	}
	return subnet.Addr().Next()
}

func endpoint(n client.Network, key string, e client.Endpoint) (Endpoint, error) {
	out := Endpoint{ID: e.EndpointID, NetworkID: n.ID, Container: key, Name: e.Name}
	if strings.HasPrefix(key, "ep-") {
		out.Container = ""
	}
	fail := func(what string, err error) (Endpoint, error) {
		return out, fmt.Errorf("docker network %s: endpoint %s: %s: %w", n.Name, e.EndpointID, what, err)
	}
	var err error
	if e.MacAddress != "" {
		if out.MAC, err = model.ParseMAC(e.MacAddress); err != nil {
			return fail("mac address", err)
		}
	}
	if out.IPv4, err = address(e.IPv4Address); err != nil {
		return fail("IPv4 address", err)
	}
	if out.IPv6, err = address(e.IPv6Address); err != nil {
		return fail("IPv6 address", err)
	}
	return out, nil
}

func address(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Addr(), err
}
