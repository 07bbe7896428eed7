// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/fairway-project/fairway/userspace/audit"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/driver/bridge"
	"github.com/fairway-project/fairway/userspace/model"
)

// applied is what the datapath was told and took.
type applied struct {
	networks  map[string]datapath.Network
	endpoints map[string]datapath.Endpoint
	ports     map[string][]datapath.Port
	guarded   map[int]bool
	// models are the networks as the log shows them.
	models map[string]model.Network
	// names are what endpoints are called in the log.
	names map[string]audit.Endpoint
}

func newApplied() applied {
	return applied{
		networks: make(map[string]datapath.Network), endpoints: make(map[string]datapath.Endpoint),
		ports: make(map[string][]datapath.Port), guarded: make(map[int]bool),
		names: make(map[string]audit.Endpoint), models: make(map[string]model.Network),
	}
}

// pass makes the datapath what view, devices and proxies say. It needs the lock.
// What failed is told and tried again by the next pass.
func (w *Watcher) pass(ctx context.Context) {
	if w.stopped || !w.view.complete {
		return
	}
	waiting := w.bind()
	networks, endpoints := w.wantedNetworks(), w.wantedEndpoints()
	w.forgetTroubles(endpoints)
	ports := facts.Ports(w.view.networks, w.view.containers, w.held.All())
	for id, routed := range facts.RoutedPorts(w.view.networks, w.openings) {
		ports[id] = append(ports[id], routed...)
	}
	failed := w.dropOthers(ctx, networks, endpoints)
	failed = w.ensureNetworks(ctx, networks) || failed
	failed = w.guardNew(ctx) || failed
	failed = w.ensureEndpoints(ctx, endpoints) || failed
	failed = w.ensurePorts(ctx, ports) || failed
	if !w.swept && (!failed && w.settled() || time.Since(w.begun) > w.patience) {
		err := w.Datapath.Sweep(ctx)
		w.report("leftovers of an earlier daemon", err)
		w.swept = err == nil
		w.logTakenOver()
	}
	if waiting || failed {
		w.lookLater()
	}
}

// longestWait is how long leftovers stay at most because an endpoint isn't found or
// something is refused. One network that can't be must not keep the tables of an
// earlier layout, or the ports of a container that is gone, in force for good.
const longestWait = 10 * time.Second

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

func (w *Watcher) wantedNetworks() map[string]datapath.Network {
	out := make(map[string]datapath.Network)
	for id, n := range w.view.networks {
		if b, ok := w.devices.Bridges[n.Bridge.Name]; ok {
			out[id] = bridge.Told(&n.Network, datapath.Device{Name: n.Bridge.Name, Index: b.Index, MAC: b.MAC})
		}
	}
	return out
}

func (w *Watcher) wantedEndpoints() map[string]datapath.Endpoint {
	out := make(map[string]datapath.Endpoint)
	for _, n := range w.view.networks {
		for _, e := range n.Endpoints {
			index, has := w.bound[e.ID]
			if !has {
				continue
			}
			out[e.ID] = datapath.Endpoint{
				ID: e.ID, NetworkID: e.NetworkID, HostIf: w.devices.Veths[index].Name, HostIndex: index,
				MAC: e.MAC, IPv4: e.IPv4, IPv6: e.IPv6,
			}
		}
	}
	return out
}

// dropOthers removes what isn't wanted any more before anything is added: what is
// new may have the same addresses.
func (w *Watcher) dropOthers(ctx context.Context, networks map[string]datapath.Network, endpoints map[string]datapath.Endpoint) (failed bool) {
	for id, e := range w.applied.endpoints {
		now, wanted := endpoints[id]
		if wanted && now.HostIndex == e.HostIndex {
			continue
		}
		err := w.Datapath.DeleteEndpoint(ctx, id)
		if w.report(endpointOf(id), err); err != nil {
			failed = true
			continue
		}
		w.logDeleted(id, wanted)
		delete(w.applied.endpoints, id)
		delete(w.applied.ports, id)
	}
	for id, n := range w.applied.networks {
		if _, wanted := networks[id]; wanted {
			continue
		}
		err := w.Datapath.DeleteNetwork(ctx, id)
		if w.report(networkOf(n.Name), err); err != nil {
			failed = true
			continue
		}
		w.logNetwork(w.audit.NetworkRemoved, id)
		delete(w.applied.networks, id)
		delete(w.applied.models, id)
	}
	return failed
}

func (w *Watcher) ensureNetworks(ctx context.Context, want map[string]datapath.Network) (failed bool) {
	for _, id := range slices.Sorted(maps.Keys(want)) {
		n := want[id]
		if have, ok := w.applied.networks[id]; ok && reflect.DeepEqual(have, n) {
			continue
		}
		err := w.Datapath.EnsureNetwork(ctx, n)
		if w.report(networkOf(n.Name), err); err != nil {
			failed = true
			continue
		}
		_, known := w.applied.networks[id]
		w.applied.networks[id], w.applied.models[id] = n, w.view.networks[id].Network
		if !known {
			w.logNetwork(w.audit.NetworkCreated, id)
		}
	}
	return failed
}

// guardNew closes the devices on Docker's bridges that it hasn't closed before.
func (w *Watcher) guardNew(ctx context.Context) (failed bool) {
	for index := range w.applied.guarded {
		if _, there := w.devices.Veths[index]; !there {
			delete(w.applied.guarded, index)
		}
	}
	for index, v := range w.devices.Veths {
		if w.applied.guarded[index] || w.networkOn(v.Bridge) == "" {
			continue
		}
		err := w.Datapath.Guard(ctx, v.Name, index)
		if w.report(deviceOf(v.Name), err); err != nil {
			failed = true
			continue
		}
		w.applied.guarded[index] = true
	}
	return failed
}

func (w *Watcher) ensureEndpoints(ctx context.Context, want map[string]datapath.Endpoint) (failed bool) {
	for _, id := range slices.Sorted(maps.Keys(want)) {
		e := want[id]
		if have, ok := w.applied.endpoints[id]; ok && reflect.DeepEqual(have, e) {
			continue
		}
		if _, ok := w.applied.networks[e.NetworkID]; !ok {
			// Its network has been told as the trouble.
			continue
		}
		err := w.Datapath.EnsureEndpoint(ctx, e)
		if w.report(endpointOf(id), err); err != nil {
			failed = true
			continue
		}
		w.applied.endpoints[id] = e
		w.logEnsured(id)
	}
	return failed
}

// ensurePorts first closes what isn't wanted any more, then opens what is new: a
// port may move from one endpoint to another.
func (w *Watcher) ensurePorts(ctx context.Context, want map[string][]datapath.Port) (failed bool) {
	for id, have := range w.applied.ports {
		if slices.Equal(have, want[id]) {
			continue
		}
		if kept := common(have, want[id]); len(kept) < len(have) {
			failed = !w.setPorts(ctx, id, kept) || failed
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.applied.endpoints)) {
		if have, said := w.applied.ports[id]; !said || !slices.Equal(have, want[id]) {
			failed = !w.setPorts(ctx, id, want[id]) || failed
		}
	}
	return failed
}

// common returns what of have is in want too. Containers have thousands of ports.
func common(have, want []datapath.Port) []datapath.Port {
	wanted := make(map[datapath.Port]bool, len(want))
	for _, p := range want {
		wanted[p] = true
	}
	return slices.DeleteFunc(slices.Clone(have), func(p datapath.Port) bool { return !wanted[p] })
}

func (w *Watcher) setPorts(ctx context.Context, id string, ports []datapath.Port) bool {
	err := w.Datapath.EnsurePorts(ctx, id, ports)
	if w.report(portsOf(id), err); err != nil {
		return false
	}
	w.logPorts(id, w.applied.ports[id], ports)
	w.applied.ports[id] = ports
	return true
}
