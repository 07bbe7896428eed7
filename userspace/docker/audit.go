// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"github.com/fairway-project/fairway/userspace/audit"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// What the engine had when it first said everything is counted, not logged one by one.
// All of these need the lock.

// logTakenOver counts it once the datapath has it.
func (w *Watcher) logTakenOver() {
	if w.told {
		return
	}
	w.told = true
	containers := make(map[string]bool)
	ports := 0
	for id := range w.applied.endpoints {
		containers[w.applied.names[id].Sandbox] = true
		ports += len(translated(w.applied.ports[id]))
	}
	w.audit.TakenOver(len(w.applied.networks), len(containers), len(w.applied.endpoints), ports)
}

func (w *Watcher) logNetwork(log func(*model.Network), id string) {
	if w.told {
		n := w.applied.models[id]
		log(&n)
	}
}

// logEnsured remembers an endpoint's names, and logs one that is new.
func (w *Watcher) logEnsured(id string) {
	_, known := w.applied.names[id]
	name := w.nameOf(id)
	w.applied.names[id] = name
	if w.told && !known {
		w.audit.EndpointConnected(name)
	}
}

// logDeleted logs an endpoint that is deleted, with its ports, unless it is wanted with
// another device.
func (w *Watcher) logDeleted(id string, wanted bool) {
	w.logPorts(id, w.applied.ports[id], nil)
	if wanted {
		return
	}
	if w.told {
		w.audit.EndpointDisconnected(w.applied.names[id])
	}
	delete(w.applied.names, id)
}

func (w *Watcher) logPorts(id string, was, is []datapath.Port) {
	if w.told {
		w.audit.Ports(w.applied.names[id].Sandbox, translated(was), translated(is))
	}
}

// translated are those of ports that the host has.
func translated(ports []datapath.Port) (out []model.PublishedPort) {
	for _, p := range ports {
		if !p.Routed {
			out = append(out, p.PublishedPort)
		}
	}
	return out
}

// nameOf says what the engine calls an endpoint.
func (w *Watcher) nameOf(id string) audit.Endpoint {
	for _, n := range w.view.networks {
		for _, e := range n.Endpoints {
			if e.ID == id {
				return audit.Endpoint{ID: id, Sandbox: e.Name, Network: n.Name, IPv4: e.IPv4, IPv6: e.IPv6}
			}
		}
	}
	return audit.Endpoint{ID: id}
}
