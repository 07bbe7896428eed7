// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/dns"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/resolvconf"
)

// dnsRecord is what an endpoint is known as on its network; the default network
// has no names, as in Docker.
func dnsRecord(sb *model.Sandbox, ep *model.Endpoint, n *model.Network) (rec dns.Record, ok bool) {
	names := dnsNames(sb, ep, n)
	return dns.Record{
		EndpointID: ep.ID, NetworkID: n.ID, Names: names,
		IPv4: ep.IPv4.Addr(), IPv6: ep.IPv6.Addr(),
	}, len(names) > 0
}

func dnsNames(sb *model.Sandbox, ep *model.Endpoint, n *model.Network) []string {
	if n.Default() {
		return nil
	}
	return dns.Names(sb.Name, ep.Aliases, sb.ID, sb.Hostname)
}

// hostsFile is the content of a sandbox's /etc/hosts.
func hostsFile(sb *model.Sandbox, all []attachment, links []linkTarget) resolvconf.Hosts {
	h := resolvconf.Hosts{Hostname: sb.Hostname, Extra: sb.ExtraHosts, NoIPv6: len(all) > 0}
	for _, a := range all {
		h.NoIPv6 = h.NoIPv6 && a.net.IPv6 == nil
		for _, addr := range []netip.Addr{a.ep.IPv4.Addr(), a.ep.IPv6.Addr()} {
			if addr.IsValid() {
				h.Addrs = append(h.Addrs, addr)
			}
		}
	}
	for _, l := range links {
		for _, addr := range []netip.Addr{l.ep.IPv4.Addr(), l.ep.IPv6.Addr()} {
			if addr.IsValid() {
				h.Links = append(h.Links, resolvconf.HostLink{
					Alias: l.alias, Hostname: l.sb.Hostname, Name: l.sb.Name, Addr: addr,
				})
			}
		}
	}
	return h
}

// embedded reports whether a sandbox gets the embedded resolver: it does with
// the first user-defined network, as in Docker.
func embedded(all []attachment) bool {
	return slices.ContainsFunc(all, func(a attachment) bool { return !a.net.Default() })
}

// resolverConfig is what the embedded resolver of sb answers from. Docker
// searches the networks in the order of the gateway election.
func resolverConfig(sb *model.Sandbox, all []attachment, e resolvconf.Embedded) dns.Config {
	c := dns.Config{Upstreams: e.Upstreams, NDotsSet: e.NDotsSet}
	for _, a := range slices.SortedFunc(slices.Values(all), compareAttachments) {
		c.Networks = append(c.Networks, dns.Network{ID: a.net.ID, Name: a.net.Name})
		c.Forward = c.Forward || !a.net.Internal
	}
	for _, l := range sb.Links {
		c.Links = append(c.Links, dns.Link{Alias: l.Alias, Name: l.Sandbox})
	}
	return c
}

// linkTarget is what one --link of a sandbox leads to on the default network.
type linkTarget struct {
	alias string
	sb    *model.Sandbox
	ep    *model.Endpoint
}

// defaultLinks resolves the links of sb that hold on the default network: those
// whose both ends are on it.
func (s *state) defaultLinks(sb *model.Sandbox) []linkTarget {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.defaultEndpoint(sb.ID) == nil {
		return nil
	}
	var out []linkTarget
	for _, l := range sb.Links {
		target := s.sandboxNamed(l.Sandbox)
		if target == nil {
			continue
		}
		if ep := s.defaultEndpoint(target.ID); ep != nil {
			out = append(out, linkTarget{l.Alias, target, ep})
		}
	}
	return out
}

// sandboxNamed finds a sandbox by its name alone: a link's target may be gone, and its
// name begin another one's ID.
func (s *state) sandboxNamed(name string) *model.Sandbox {
	for _, sb := range s.sandboxes {
		if sb.Name == name {
			return sb
		}
	}
	return nil
}

func (s *state) defaultEndpoint(sandboxID string) *model.Endpoint {
	for id := range s.ofSandbox[sandboxID] {
		if ep := s.endpoints[id]; s.networks[ep.NetworkID].Default() {
			return ep
		}
	}
	return nil
}

// holes are what links open where icc=false closes the default network.
func holes(targets []linkTarget) []datapath.Link {
	var out []datapath.Link
	for _, t := range targets {
		if len(t.sb.Exposed) > 0 {
			out = append(out, datapath.Link{
				IPv4: t.ep.IPv4.Addr(), IPv6: t.ep.IPv6.Addr(), Ports: t.sb.Exposed,
			})
		}
	}
	return out
}
