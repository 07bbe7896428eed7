// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
)

// Held is a host port as Docker hands it to its userland proxy: everything about
// it is exact.
type Held struct {
	model.PublishedPort
	Target netip.Addr
}

// Proxied tells the ports that a proxy holds, or held until it said that it gives them up: the
// list of containers shows these for a moment more.
type Proxied func(model.PublishedPort) bool

// Key is what no two publications have in common.
type Key struct {
	IP    netip.Addr
	Port  uint16
	Proto model.Proto
}

// KeyOf returns the key of a publication.
func KeyOf(p model.PublishedPort) Key { return Key{p.HostIP, p.HostPort, p.Port.Proto} }

// Listed tells of a host port whether the list of containers shows it, with a
// target that is one of that container's addresses.
func Listed(networks map[string]Network, containers []client.Container) func(Held) bool {
	targets, at := make(map[model.PublishedPort][]netip.Addr), placesOn(networks)
	for _, c := range containers {
		ports := published(c)
		if len(ports) == 0 {
			continue
		}
		var own []netip.Addr
		for _, a := range at.attachments(c) {
			own = append(own, a.Endpoint.IPv4.Addr(), a.Endpoint.IPv6.Addr())
		}
		for _, p := range ports {
			targets[p] = own
		}
	}
	return func(h Held) bool { return h.Target.IsValid() && slices.Contains(targets[h.PublishedPort], h.Target) }
}

// places are the endpoints of networks by their IDs, as far as somebody has asked: a network may
// have as many endpoints as there are containers.
type places struct {
	networks map[string]Network
	by       map[string]map[string]*Endpoint
}

func placesOn(networks map[string]Network) *places {
	return &places{networks: networks, by: make(map[string]map[string]*Endpoint)}
}

// endpoint returns nil for one that isn't there.
func (p *places) endpoint(networkID, id string) *Endpoint {
	all, known := p.by[networkID]
	if !known {
		endpoints := p.networks[networkID].Endpoints
		all = make(map[string]*Endpoint, len(endpoints))
		for i := range endpoints {
			all[endpoints[i].ID] = &endpoints[i]
		}
		p.by[networkID] = all
	}
	return all[id]
}

// attachments finds a container's endpoints among the networks. Those on networks that
// aren't bridges of this host are left out.
func (p *places) attachments(c client.Container) (all []policy.Attachment) {
	for _, a := range c.NetworkSettings.Networks {
		n, ok := p.networks[a.NetworkID]
		if !ok {
			continue
		}
		e := p.endpoint(a.NetworkID, a.EndpointID)
		if e == nil {
			continue
		}
		all = append(all, policy.Attachment{Network: &n.Network, Endpoint: &model.Endpoint{
			ID: e.ID, NetworkID: e.NetworkID, IPv4: alone(e.IPv4), IPv6: alone(e.IPv6), GwPriority: a.GwPriority,
		}})
	}
	return all
}

// alone is an address as a prefix; invalid for none.
func alone(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// Ports says what every endpoint publishes, by endpoint ID. What the proxies hold
// comes first, no two with the same key; containers none of whose ports has a proxy
// (--userland-proxy=false) have the ports that the list of containers says, on
// their gateway endpoints. It is called for each of a container's thousand ports.
func Ports(networks map[string]Network, containers []client.Container, held []Held, proxied Proxied) map[string][]datapath.Port {
	out := make(map[string][]datapath.Port)
	owners := owners(networks)
	for _, h := range held {
		if id, ok := owners[h.Target]; ok {
			if out[id] == nil {
				out[id] = make([]datapath.Port, 0, len(held))
			}
			out[id] = append(out[id], datapath.Port{PublishedPort: h.PublishedPort, Target: h.Target, HostOnly: h.HostIP.Is4() != h.Target.Is4()})
		}
	}
	addListed(out, networks, containers, held, proxied)
	for id := range out {
		if !slices.IsSortedFunc(out[id], comparePorts) {
			slices.SortFunc(out[id], comparePorts)
		}
	}
	return out
}

// addListed adds the ports of containers without proxies.
func addListed(out map[string][]datapath.Port, networks map[string]Network, containers []client.Container, held []Held, proxied Proxied) {
	var seen map[Key]bool
	at := placesOn(networks)
	for _, c := range containers {
		ports := published(c)
		if len(ports) == 0 || slices.ContainsFunc(ports, proxied) {
			continue
		}
		g := policy.Elect(at.attachments(c))
		for _, p := range ports {
			if seen == nil {
				seen = keys(held)
			}
			if id, port := policy.Carrier(p, g); id != "" && !seen[KeyOf(p)] {
				seen[KeyOf(p)] = true
				out[id] = append(out[id], port)
			}
		}
	}
}

// Unproxied are the host addresses of the TCP ports that containers publish without any
// proxy, of which the engine itself holds the sockets (--userland-proxy=false).
func Unproxied(containers []client.Container, proxied Proxied) (all []netip.AddrPort) {
	for _, c := range containers {
		ports := published(c)
		if slices.ContainsFunc(ports, proxied) {
			continue
		}
		for _, p := range ports {
			if p.Port.Proto == model.TCP {
				all = append(all, netip.AddrPortFrom(p.HostIP, p.HostPort))
			}
		}
	}
	return all
}

func keys(held []Held) map[Key]bool {
	all := make(map[Key]bool, len(held))
	for _, h := range held {
		all[KeyOf(h.PublishedPort)] = true
	}
	return all
}

func comparePorts(a, b datapath.Port) int { return ComparePublished(a.PublishedPort, b.PublishedPort) }

// ComparePublished orders publications by protocol, host port and host address.
func ComparePublished(a, b model.PublishedPort) int {
	if c := cmp.Compare(a.Port.Proto, b.Port.Proto); c != 0 {
		return c
	}
	if c := cmp.Compare(a.HostPort, b.HostPort); c != 0 {
		return c
	}
	return a.HostIP.Compare(b.HostIP)
}

// Internal reports whether an address is on an internal network.
func Internal(networks map[string]Network, a netip.Addr) bool {
	return networks[NetworkOf(networks, a)].Internal
}

// NetworkOf returns the ID of the network that an address is on, "" for none of these.
func NetworkOf(networks map[string]Network, a netip.Addr) (id string) {
	for id, n := range networks {
		if n.IPv4 != nil && n.IPv4.Prefix.Contains(a) || n.IPv6 != nil && n.IPv6.Prefix.Contains(a) {
			return id
		}
	}
	return ""
}

// owners finds endpoints by their addresses. Those on internal networks publish
// nothing, though engines up to 25 start proxies when one is all that is left.
func owners(networks map[string]Network) map[netip.Addr]string {
	out := make(map[netip.Addr]string)
	for _, n := range networks {
		if n.Internal {
			continue
		}
		for _, e := range n.Endpoints {
			for _, a := range []netip.Addr{e.IPv4, e.IPv6} {
				if a.IsValid() {
					out[a] = e.ID
				}
			}
		}
	}
	return out
}

// published reads the publications in an entry of the list of containers.
func published(c client.Container) []model.PublishedPort {
	var out []model.PublishedPort
	for _, p := range c.Ports {
		proto, err := model.ParseProto(p.Type)
		ip, ipErr := netip.ParseAddr(p.IP)
		if err != nil || ipErr != nil || p.PublicPort == 0 {
			continue
		}
		out = append(out, model.PublishedPort{
			Port: model.Port{Num: p.PrivatePort, Proto: proto}, HostIP: ip.Unmap(), HostPort: p.PublicPort,
		})
	}
	return out
}
