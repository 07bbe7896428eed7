// SPDX-License-Identifier: Apache-2.0

package wanted

import (
	"github.com/fairway-project/fairway/userspace/audit"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// What an owner that says all it wants had when it first said everything is counted, not
// logged one by one.

// logCounted counts it once the datapath has it.
func (o *Owner) logCounted() {
	o.saying.Lock()
	defer o.saying.Unlock()
	if o.audit == nil || o.counted {
		return
	}
	o.counted = true
	o.state.mu.Lock()
	defer o.state.mu.Unlock()
	containers := make(map[string]bool)
	ports := 0
	for id := range o.told.endpoints {
		containers[o.named[id].Sandbox] = true
		ports += len(translated(o.told.ports[id]))
	}
	o.audit.TakenOver(len(o.told.networks), len(containers), len(o.told.endpoints), ports, len(o.want.services))
}

func (o *Owner) logNetwork(n Network, made bool) {
	switch {
	case o.audit == nil || !o.counted:
	case made:
		o.audit.NetworkCreated(&n.Network)
	default:
		o.audit.NetworkRemoved(&n.Network)
	}
}

// logEnsured remembers an endpoint's names, and logs one that is new.
func (o *Owner) logEnsured(id string) {
	_, known := o.named[id]
	o.named[id] = o.names[id]
	if o.audit != nil && o.counted && !known {
		o.audit.EndpointConnected(auditOf(o.named[id]))
	}
}

// logDeleted logs an endpoint that is deleted, with its ports, unless it is wanted with
// another device.
func (o *Owner) logDeleted(id string, ports []datapath.Port, wanted bool) {
	o.logPorts(id, ports, nil)
	if wanted {
		return
	}
	if o.audit != nil && o.counted {
		o.audit.EndpointDisconnected(auditOf(o.named[id]))
	}
	delete(o.named, id)
}

func (o *Owner) logPorts(id string, was, is []datapath.Port) {
	if o.audit != nil && o.counted {
		o.audit.Ports(o.named[id].Sandbox, translated(was), translated(is))
	}
}

func auditOf(e Endpoint) audit.Endpoint {
	return audit.Endpoint{ID: e.ID, Sandbox: e.Sandbox, Network: e.Network, IPv4: e.IPv4, IPv6: e.IPv6}
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
