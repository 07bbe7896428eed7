// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"github.com/fairway-project/fairway/userspace/audit"
	"github.com/fairway-project/fairway/userspace/model"
)

// auditOf is what an endpoint is called in the log. Docker, which waits for the driver,
// isn't asked for names now.
func (d *Driver) auditOf(e *endpoint) audit.Endpoint {
	d.mu.Lock()
	defer d.mu.Unlock()
	return audit.Endpoint{
		ID: e.ID, Sandbox: d.names.of(e).name, Network: d.networkName(d.records.Networks[e.NetworkID], d.names),
		IPv4: e.IPv4.Addr(), IPv6: e.IPv6.Addr(),
	}
}

// logPorts logs what is published otherwise than before, of an endpoint with devices:
// for others it is to come.
func (d *Driver) logPorts(e *endpoint, was, is []model.PublishedPort) {
	if e.SandboxKey != "" {
		d.audit.Ports(d.auditOf(e).Sandbox, was, is)
	}
}

// logTakenOver counts what the store had. It needs busy.
func (d *Driver) logTakenOver() {
	sandboxes := make(map[string]bool)
	endpoints, ports := 0, 0
	for _, e := range d.records.Endpoints {
		if e.SandboxKey != "" {
			sandboxes[e.SandboxKey] = true
			endpoints++
			ports += len(e.Published)
		}
	}
	d.audit.TakenOver(len(d.records.Networks), len(sandboxes), endpoints, ports, 0)
}
