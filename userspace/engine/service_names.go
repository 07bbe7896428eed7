// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"

	"github.com/fairway-project/fairway/userspace/dns"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/service"
)

// nameService makes the names of a service what its backends are now.
func (e *Engine) nameService(id string) {
	s := e.state.service(id)
	if s == nil {
		return
	}
	backends, _ := e.services.Backends(id)
	e.names.SetService(id, serviceRecords(s, backends, func(networkID string) bool {
		n := e.state.network(networkID)
		return n != nil && !n.Default()
	})...)
}

// serviceRecords are what the name of a service stands for on each of its networks that
// have names. Its backends are there those that get new flows and can be reached from
// the network: with an address on it, or outside.
func serviceRecords(s *model.Service, backends []service.Backend, hasNames func(networkID string) bool) (on []dns.Service) {
	for _, n := range s.Networks {
		if !hasNames(n.NetworkID) {
			continue
		}
		d := dns.Service{NetworkID: n.NetworkID, Name: s.Name, IPv4: n.IPv4, IPv6: n.IPv6}
		for _, b := range backends {
			if b.State == model.BackendActive {
				d.Backends = append(d.Backends, addressesOn(n.NetworkID, b)...)
			}
		}
		on = append(on, d)
	}
	return on
}

// addressesOn are those that a backend is reached by from a network.
func addressesOn(networkID string, b service.Backend) (addrs []netip.Addr) {
	add := func(all ...netip.Addr) {
		for _, a := range all {
			if a.IsValid() {
				addrs = append(addrs, a)
			}
		}
	}
	if b.SandboxID == "" {
		add(b.IPv4, b.IPv6)
	}
	for _, e := range b.Endpoints {
		if e.NetworkID == networkID {
			add(e.IPv4, e.IPv6)
		}
	}
	return addrs
}
