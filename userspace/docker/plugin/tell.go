// SPDX-License-Identifier: Apache-2.0

package plugin

import "context"

// NamesOf returns the names of an endpoint's container and network, as Carried does.
func (d *Driver) NamesOf(endpointID string) (container, network string) {
	if !d.askedLately(endpointID) {
		d.askNames(context.Background())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.records.Endpoints[endpointID]
	if e == nil {
		return "", ""
	}
	if e.SandboxKey != "" {
		container = d.names.of(e).name
	}
	return container, d.networkName(d.records.Networks[e.NetworkID], d.names)
}
