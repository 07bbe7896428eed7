// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// Reach is an endpoint of a sandbox that may serve. An address is invalid where the family
// is off.
type Reach struct {
	EndpointID, NetworkID string
	IPv4, IPv6            netip.Addr
}

// Backend is one of a service, as it is now.
type Backend struct {
	// Endpoints are a sandbox's, Addr is that of something outside. One of both is set.
	Endpoints []Reach
	Addr      netip.Addr
	// Port is 0 for the targets of the service's ports.
	Port   uint16
	Weight int
	State  model.BackendState
}

// ServiceGateways are the networks by which the ports of a service are published, by family:
// the first that would carry a default route. There are no endpoints in them.
func ServiceGateways(networks []*model.Network) (g Gateways) {
	for _, n := range networks {
		if n.Internal {
			continue
		}
		if g.V4 == nil && n.IPv4 != nil && n.IPv4.Gateway.IsValid() {
			g.V4 = &Attachment{Network: n}
		}
		if g.V6 == nil && n.IPv6 != nil && n.IPv6.Gateway.IsValid() {
			g.V6 = &Attachment{Network: n}
		}
	}
	return g
}

// Selects reports whether a sandbox with these labels has all that the selector asks for.
// An empty selector picks nobody.
func Selects(selector, labels map[string]string) bool {
	for key, value := range selector {
		if have, is := labels[key]; !is || have != value {
			return false
		}
	}
	return len(selector) > 0
}

// Address returns where a service has a backend in a family: on the first of its networks
// that the sandbox is in. The address is invalid for nowhere.
func Address(s *model.Service, b *Backend, is6 bool) (endpointID string, a netip.Addr) {
	if b.Addr.IsValid() {
		return "", ofFamily(b.Addr, is6)
	}
	return addressOn(s.Networks, b, is6)
}

// reachedFrom is Address for clients of an internal network, which reach nothing but what is
// in it, and for all others where inside is "": they reach nothing in internal ones.
func reachedFrom(s *model.Service, b *Backend, is6 bool, inside string) (endpointID string, a netip.Addr) {
	if b.Addr.IsValid() {
		if inside == "" {
			a = ofFamily(b.Addr, is6)
		}
		return "", a
	}
	return addressOn(slices.DeleteFunc(slices.Clone(s.Networks), func(n model.ServiceNetwork) bool {
		return insideOf(n) != inside
	}), b, is6)
}

// insideOf is the ID of an internal network, "" of another.
func insideOf(n model.ServiceNetwork) string {
	if n.Internal {
		return n.NetworkID
	}
	return ""
}

func addressOn(networks []model.ServiceNetwork, b *Backend, is6 bool) (endpointID string, a netip.Addr) {
	for _, n := range networks {
		for _, e := range b.Endpoints {
			if e.NetworkID != n.NetworkID {
				continue
			}
			if a = e.IPv4; is6 {
				a = e.IPv6
			}
			if a.IsValid() {
				return e.EndpointID, a
			}
		}
	}
	return "", netip.Addr{}
}

func ofFamily(a netip.Addr, is6 bool) netip.Addr {
	if a.Is6() != is6 {
		return netip.Addr{}
	}
	return a
}

// HealthTarget returns where a backend is to be asked whether it serves, by IPv4 where it
// can; invalid where it can't be reached.
func HealthTarget(s *model.Service, b *Backend) netip.AddrPort {
	_, a := Address(s, b, false)
	if !a.IsValid() {
		_, a = Address(s, b, true)
	}
	port := cmp.Or(s.Health.Port, b.Port)
	for _, p := range s.Ports {
		if port == 0 && p.Port.Proto == model.TCP {
			port = p.Target
		}
	}
	if !a.IsValid() || port == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, port)
}

// Serve says what a datapath is told of a service that has these backends. Equal services
// with equal backends, in any order, are told equally.
func Serve(s *model.Service, backends []Backend) datapath.Service {
	out := datapath.Service{
		ID: s.ID, Name: s.Name, Random: s.Scheduler == model.SchedulerRandom, Sources: s.Sources, Passive: s.JudgedByAnswers(),
	}
	if s.Affinity.Kind == model.AffinityClientIP {
		out.Affinity = s.Affinity.Timeout
	}
	p := pools{service: s, backends: backends, index: make(map[pool]int)}
	for _, n := range s.Networks {
		if !n.Internal && slices.ContainsFunc(backends, func(b Backend) bool { return b.Addr.IsValid() }) {
			out.Networks = append(out.Networks, n.NetworkID)
		}
		for _, vip := range []netip.Addr{n.IPv4, n.IPv6} {
			if !vip.IsValid() {
				continue
			}
			for _, port := range s.Ports {
				out.Fronts = append(out.Fronts, datapath.Front{
					NetworkID: n.NetworkID, Addr: vip, Port: port.Port, Pool: p.of(pool{vip.Is6(), port.Target, insideOf(n)}),
				})
			}
		}
	}
	has := func(is6 bool) bool {
		return slices.ContainsFunc(backends, func(b Backend) bool {
			_, a := reachedFrom(s, &b, is6, "")
			return a.IsValid()
		})
	}
	// Without any backend nobody is kept out of IPv6: clients are refused.
	hostOnly := has(false) && !has(true)
	for _, pub := range s.Published {
		is6 := pub.HostIP.Is6()
		out.Fronts = append(out.Fronts, datapath.Front{
			Addr: pub.HostIP, Port: model.Port{Num: pub.HostPort, Proto: pub.Port.Proto},
			HostOnly: is6 && hostOnly, Pool: p.of(pool{is6 && !hostOnly, target(s, pub.Port), ""}),
		})
	}
	out.Pools = p.all
	return out
}

// target is the backends' port behind a port of the service.
func target(s *model.Service, port model.Port) uint16 {
	for _, p := range s.Ports {
		if p.Port == port {
			return p.Target
		}
	}
	return port.Num
}

// pool tells pools of a service apart.
type pool struct {
	is6    bool
	target uint16
	// inside is the internal network whose clients use the pool.
	inside string
}

type pools struct {
	service  *model.Service
	backends []Backend
	index    map[pool]int
	all      []datapath.Pool
}

// of returns the index of a pool, which it makes if there is none yet.
func (p *pools) of(k pool) int {
	if i, is := p.index[k]; is {
		return i
	}
	p.index[k] = len(p.all)
	p.all = append(p.all, datapath.Pool{Backends: p.fill(k)})
	return p.index[k]
}

func (p *pools) fill(k pool) []datapath.Backend {
	out := make([]datapath.Backend, 0, len(p.backends))
	for i := range p.backends {
		b := &p.backends[i]
		id, a := reachedFrom(p.service, b, k.is6, k.inside)
		if !a.IsValid() {
			continue
		}
		out = append(out, datapath.Backend{
			EndpointID: id, Target: netip.AddrPortFrom(a, cmp.Or(b.Port, k.target)), Weight: b.Weight, State: b.State,
		})
	}
	slices.SortFunc(out, func(a, b datapath.Backend) int {
		return cmp.Or(a.Target.Compare(b.Target), cmp.Compare(a.EndpointID, b.EndpointID))
	})
	return out
}

// SameService reports whether a datapath that was told a has nothing to learn from b.
func SameService(a, b *datapath.Service) bool {
	return a.ID == b.ID && a.Name == b.Name && a.Random == b.Random && a.Affinity == b.Affinity && a.Passive == b.Passive &&
		slices.Equal(a.Sources, b.Sources) && slices.Equal(a.Networks, b.Networks) && slices.Equal(a.Fronts, b.Fronts) &&
		slices.EqualFunc(a.Pools, b.Pools, func(p, q datapath.Pool) bool { return slices.Equal(p.Backends, q.Backends) })
}
