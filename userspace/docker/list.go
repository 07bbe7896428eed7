// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// Carried returns the engine's bridge networks, the containers on them and the services
// that these ask for, as it said last.
func (w *Watcher) Carried(context.Context) (c request.Carried) {
	w.mu.Lock()
	defer w.mu.Unlock()
	containers := make(map[string]*request.SandboxView)
	for _, n := range w.view.networks {
		v := request.NetworkView{Network: n.Network, Owner: model.OwnerDocker}
		for _, e := range n.Endpoints {
			ep := endpointView(n, e)
			v.Endpoints = append(v.Endpoints, request.NetworkEndpoint{Endpoint: ep.Endpoint, SandboxName: e.Name})
			box := containers[ep.SandboxID]
			if box == nil {
				box = containerView(ep.SandboxID, e.Name)
				containers[ep.SandboxID] = box
			}
			box.Endpoints = append(box.Endpoints, ep)
			for _, p := range w.owner.Ports(e.ID) {
				if !p.Routed {
					box.Published = append(box.Published, p.PublishedPort)
				}
			}
		}
		c.Networks = append(c.Networks, v)
	}
	slices.SortFunc(c.Networks, func(a, b request.NetworkView) int { return cmp.Compare(a.Name, b.Name) })
	for _, id := range slices.Sorted(maps.Keys(containers)) {
		slices.SortFunc(containers[id].Endpoints, func(a, b request.SandboxEndpoint) int { return cmp.Compare(a.NetworkName, b.NetworkName) })
		c.Containers = append(c.Containers, *containers[id])
	}
	c.Services = w.serviceViews()
	return c
}

// serviceViews needs the lock.
func (w *Watcher) serviceViews() (all []request.ServiceView) {
	for id, s := range w.services.said {
		v := request.ServiceView{Service: *s, Owner: model.OwnerDocker}
		for _, n := range s.Networks {
			v.Networks = append(v.Networks, request.ServiceNetworkView{ServiceNetwork: n, Name: w.view.networks[n.NetworkID].Name})
		}
		backends, warnings := w.services.manager.Backends(id)
		for _, b := range backends {
			v.Backends = append(v.Backends, request.ServiceBackendView{
				SandboxID: b.SandboxID, Name: b.Name, IPv4: b.IPv4, IPv6: b.IPv6, Port: b.Port, Weight: b.Weight, State: b.State, Reason: b.Reason,
			})
		}
		v.Warnings = warnings
		for _, prefix := range []string{contradictionPrefix, publishPrefix} {
			if text := w.owner.Trouble(prefix + w.named(s)); text != "" {
				v.Warnings = append(v.Warnings, text)
			}
		}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b request.ServiceView) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// containerView is a container of the engine's, which is one that runs.
func containerView(id, name string) *request.SandboxView {
	return &request.SandboxView{Owner: model.OwnerDocker, Sandbox: model.Sandbox{
		ID: id, Name: name, Mode: model.ModeNetworks, State: model.State{Status: model.StatusRunning},
	}}
}

func endpointView(n facts.Network, e facts.Endpoint) request.SandboxEndpoint {
	return request.SandboxEndpoint{NetworkName: n.Name, Endpoint: model.Endpoint{
		// An endpoint without a container is all that is known of one.
		ID: e.ID, NetworkID: e.NetworkID, SandboxID: cmp.Or(e.Container, e.ID), MAC: e.MAC,
		IPv4: prefixed(e.IPv4, n.IPv4), IPv6: prefixed(e.IPv6, n.IPv6),
	}}
}

// prefixed is an address with its subnet's length; invalid for none.
func prefixed(a netip.Addr, s *model.Subnet) netip.Prefix {
	if !a.IsValid() || s == nil {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, s.Prefix.Bits())
}
