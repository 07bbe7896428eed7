// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// Owns reports whether a device belongs to one of the driver's networks.
func (d *Driver) Owns(device string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.file.Networks {
		if n.Bridge.Name == device {
			return true
		}
	}
	for _, e := range d.file.Endpoints {
		if e.HostIf == device || e.IfName == device {
			return true
		}
	}
	return false
}

// Reserved is nothing: Docker says which subnet a network of the driver's has.
func (*Driver) Reserved() []netip.Prefix { return nil }

// Stop ends all work on the datapath for good: it is about to be uninstalled.
func (d *Driver) Stop() {
	d.cancel()
	d.busy.Lock()
	defer d.busy.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
}

// Degraded tells what isn't as it should be.
func (d *Driver) Degraded() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	if d.Unserved && len(d.file.Networks) > 0 {
		out = append(out, fmt.Sprintf("docker plugin: %d networks are carried on, but Docker's calls aren't answered: start the daemon with --docker-plugin, or remove the networks", len(d.file.Networks)))
	}
	for _, what := range slices.Sorted(maps.Keys(d.troubles)) {
		out = append(out, fmt.Sprintf("docker plugin: %s: %s", what, d.troubles[what]))
	}
	return out
}

// NamesOf returns the names of an endpoint's container and network, as Carried does.
func (d *Driver) NamesOf(endpointID string) (container, network string) {
	if !d.askedLately(endpointID) {
		d.askNames(context.Background())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.file.Endpoints[endpointID]
	if e == nil {
		return "", ""
	}
	if e.SandboxKey != "" {
		container = d.names.of(e).name
	}
	return container, d.networkName(d.file.Networks[e.NetworkID], d.names)
}

// report notes what failed, or that it doesn't any more.
func (d *Driver) report(what string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		delete(d.troubles, what)
		return
	}
	if d.troubles[what] == err.Error() {
		return
	}
	d.troubles[what] = err.Error()
	d.Log.Error("docker plugin: not carried out", "what", what, "err", err)
}
