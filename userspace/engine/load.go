// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/store"
)

// load takes the stored state into memory.
func (e *Engine) load(s store.State) {
	s.Endpoints = e.withoutOrphans(s)
	var c change
	for i := range s.Networks {
		c.networks = append(c.networks, &s.Networks[i])
	}
	for i := range s.Sandboxes {
		c.sandboxes = append(c.sandboxes, &s.Sandboxes[i])
	}
	for i := range s.Endpoints {
		c.endpoints = append(c.endpoints, &s.Endpoints[i])
	}
	for i := range s.Services {
		c.services = append(c.services, &s.Services[i])
	}
	e.state.put(c)
	for _, n := range c.networks {
		if n.IPv4 == nil && n.IPv6 == nil {
			continue
		}
		if err := e.ipam.RestoreNetwork(n, s.Endpoints); err != nil {
			e.log.Error("stored addresses contradict each other", "err", err)
		}
	}
	e.restoreVIPs(c.services)
}

// withoutOrphans returns the endpoints, and forgets those whose sandbox or network isn't
// stored: the save at the sandbox's end failed, and the one at its removal didn't. Those
// of other hosts have no sandbox here.
func (e *Engine) withoutOrphans(s store.State) []model.Endpoint {
	there := make(map[string]bool)
	for _, sb := range s.Sandboxes {
		there[sb.ID] = true
	}
	for _, n := range s.Networks {
		there[n.ID] = true
	}
	var kept []model.Endpoint
	var c change
	for _, ep := range s.Endpoints {
		if (ep.Host != "" || there[ep.SandboxID]) && there[ep.NetworkID] {
			kept = append(kept, ep)
		} else {
			c.goneEndpoints = append(c.goneEndpoints, &ep)
		}
	}
	if len(c.goneEndpoints) == 0 {
		return kept
	}
	e.log.Warn("stored endpoints of sandboxes that aren't there are forgotten", "endpoints", len(c.goneEndpoints))
	if err := e.persist(c); err != nil {
		// The next start finds them again.
		e.log.Error("endpoints not forgotten", "err", err)
	}
	return kept
}
