// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"net/netip"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// serviceOwner is the name of a service's share in the proxy: no endpoint has it.
func serviceOwner(id string) string { return "service " + id }

// proxied is a front as the proxy knows it.
func proxied(fr *datapath.Front) datapath.Port {
	return datapath.Port{
		PublishedPort: model.PublishedPort{Port: fr.Port, HostIP: fr.Addr, HostPort: fr.Port.Num},
		HostOnly:      fr.HostOnly,
	}
}

// proxiedFronts are the fronts of a service that need the proxy.
func (d *Datapath) proxiedFronts(s *datapath.Service) []datapath.Port {
	if d.kernel[IPv6].broken != nil {
		return nil
	}
	var ports []datapath.Port
	for i := range s.Fronts {
		if fr := &s.Fronts[i]; fr.NetworkID == "" {
			if p := proxied(fr); needsProxy(&p) {
				ports = append(ports, p)
			}
		}
	}
	return ports
}

// proxyChoice are the backends that take new flows from the proxy, by front.
func (s *served) proxyChoice() map[datapath.Port][]backend {
	out := make(map[datapath.Port][]backend)
	for i := range s.Fronts {
		fr := &s.Fronts[i]
		of := s.choice(IPv6, fr.Pool)
		if fr.HostOnly {
			of = append(s.choice(IPv4, fr.Pool), of...)
		}
		if len(of) > 0 {
			out[proxied(fr)] = of
		}
	}
	return out
}

// proxyRules lead sockets of the host to the proxy, where there is a backend for them.
func (s *served) proxyRules(p *proxy) []Rule {
	choice := s.proxyChoice()
	return p.rules(serviceOwner(s.ID), func(port datapath.Port) bool { return len(choice[port]) > 0 })
}

// choose tells the proxy of the services' backends, and ends what it carries to those
// that are down.
func (d *Datapath) choose(services ...string) {
	for _, id := range services {
		s, ok := d.state.served(id)
		if !ok {
			continue
		}
		d.proxy.choose(serviceOwner(id), s.proxyChoice(), s.Affinity)
		dead := s.downTargets()
		d.proxy.end(serviceOwner(id), func(to netip.AddrPort) bool { return dead[to] })
	}
}
