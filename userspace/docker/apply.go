// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"slices"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/driver/bridge"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/wanted"
)

// pass says what view, devices and proxies come to. It needs the lock.
func (w *Watcher) pass(ctx context.Context) {
	if w.Wanted.Stopped() || !w.view.complete {
		return
	}
	waiting, _ := w.bind()
	endpoints := w.wantedEndpoints()
	w.forgetContainers()
	ports := facts.Ports(w.view.networks, w.view.containers, w.held.All(), w.held.Proxied())
	for id, routed := range facts.RoutedPorts(w.view.networks, w.openings) {
		ports[id] = append(ports[id], routed...)
	}
	w.owner.Set(ctx, wanted.Whole{
		Networks: w.wantedNetworks(), Endpoints: endpoints, Ports: ports, Devices: w.dockersDevices(),
	})
	w.tellServices(ctx)
	if waiting {
		w.retry.Raise()
	}
}

// tellServices comes after all that services lead to was said.
func (w *Watcher) tellServices(ctx context.Context) {
	w.followServices(ctx)
	w.owner.SaidAll(ctx, !w.settled())
}

// settled reports whether every endpoint that has a device was found by it. Until
// then what an earlier process knew of the device is better than nothing.
func (w *Watcher) settled() bool {
	taken := w.taken()
	for index, v := range w.devices.Veths {
		id := w.networkOn(v.Bridge)
		if id != "" && !taken[index] && len(w.view.networks[id].Endpoints) > 0 && w.unbound(id) {
			return false
		}
	}
	return true
}

// unbound reports whether an endpoint of the network has no device.
func (w *Watcher) unbound(networkID string) bool {
	return slices.ContainsFunc(w.view.networks[networkID].Endpoints, func(e facts.Endpoint) bool {
		_, has := w.bound[e.ID]
		return !has
	})
}

func (w *Watcher) wantedNetworks() map[string]wanted.Network {
	out := make(map[string]wanted.Network)
	for id, n := range w.view.networks {
		want := wanted.Network{Network: n.Network}
		if b, has := w.devices.Bridges[n.Device()]; has {
			want.Told = bridge.Told(&n.Network, link.Device{Index: b.Index, MAC: b.MAC})
		}
		out[id] = want
	}
	return out
}

func (w *Watcher) wantedEndpoints() map[string]wanted.Endpoint {
	out := make(map[string]wanted.Endpoint)
	for _, n := range w.view.networks {
		for _, e := range n.Endpoints {
			index, has := w.bound[e.ID]
			if !has {
				continue
			}
			out[e.ID] = wanted.Endpoint{Sandbox: e.Name, Network: n.Name, Endpoint: datapath.Endpoint{
				ID: e.ID, NetworkID: e.NetworkID, HostIf: w.devices.Veths[index].Name, HostIndex: index,
				MAC: e.MAC, IPv4: e.IPv4, IPv6: e.IPv6,
			}}
		}
	}
	return out
}

// dockersDevices are the devices on Docker's bridges.
func (w *Watcher) dockersDevices() map[int]string {
	out := make(map[int]string)
	for index, v := range w.devices.Veths {
		if w.networkOn(v.Bridge) != "" {
			out[index] = v.Name
		}
	}
	return out
}
