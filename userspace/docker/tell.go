// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/docker/client"
)

// names is a set of devices.
type names map[string]bool

func (n names) equal(o names) bool { return maps.Equal(n, o) }

// bridgeNames needs the lock.
func (w *Watcher) bridgeNames() names {
	out := make(names)
	for _, n := range w.view.networks {
		out[n.Bridge.Name] = true
	}
	return out
}

// Owns reports whether a device is the bridge of one of the engine's networks.
func (w *Watcher) Owns(device string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bridgeNames()[device]
}

// Reserved are the subnets that the engine's configuration gives it.
func (w *Watcher) Reserved() []netip.Prefix { return w.Subnets }

// Degraded tells what isn't as it should be.
func (w *Watcher) Degraded() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, what := range slices.Sorted(maps.Keys(w.troubles)) {
		if what == "docker" {
			out = append(out, w.troubles[what])
			continue
		}
		out = append(out, fmt.Sprintf("docker: %s: %s", what, w.troubles[what]))
	}
	if !w.view.complete {
		out = append(out, fmt.Sprintf("docker: %s has not said yet what it has", w.client.Socket()))
	}
	return out
}

// NamesOf returns the container and the network of an endpoint.
func (w *Watcher) NamesOf(endpointID string) (container, network string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.view.networks {
		for _, e := range n.Endpoints {
			if e.ID == endpointID {
				return e.Name, n.Name
			}
		}
	}
	return "", ""
}

// The names of things in troubles that come and go.
const (
	endpointPrefix = "endpoint "
	portsPrefix    = "ports of endpoint "
	devicePrefix   = "device "
	networkPrefix  = "network "
	// containerPrefix is for what a container was told to publish.
	containerPrefix = "ports of container "
)

func endpointOf(id string) string  { return endpointPrefix + id }
func portsOf(id string) string     { return portsPrefix + id }
func deviceOf(name string) string  { return devicePrefix + name }
func networkOf(name string) string { return networkPrefix + name }

// forgetTroubles drops those of endpoints and devices that are gone. It needs the
// lock.
func (w *Watcher) forgetTroubles(endpoints map[string]datapath.Endpoint) {
	there := make(map[string]bool)
	for _, v := range w.devices.Veths {
		there[deviceOf(v.Name)] = true
	}
	for id := range endpoints {
		there[endpointOf(id)], there[portsOf(id)] = true, true
	}
	for _, c := range w.view.containers {
		there[containerOf(c.ID)] = true
	}
	w.forget(there, endpointPrefix, portsPrefix, devicePrefix, containerPrefix)
}

// forgetNetworks drops the troubles of networks that the engine doesn't list.
func (w *Watcher) forgetNetworks(list []client.Network) {
	w.mu.Lock()
	defer w.mu.Unlock()
	there := make(map[string]bool)
	for _, n := range list {
		there[networkOf(n.Name)] = true
	}
	w.forget(there, networkPrefix)
}

// forget drops troubles with one of the prefixes about things that aren't there.
func (w *Watcher) forget(there map[string]bool, prefixes ...string) {
	for what := range w.troubles {
		if !there[what] && slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(what, p) }) {
			delete(w.troubles, what)
		}
	}
}

// trouble is report for callers without the lock.
func (w *Watcher) trouble(what string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report(what, err)
}

// report notes what failed, or that it doesn't any more, and logs it once. It needs
// the lock.
func (w *Watcher) report(what string, err error) {
	before, was := w.troubles[what]
	switch {
	case err == nil && was:
		delete(w.troubles, what)
		w.Log.Info("docker: mended", "what", what)
	case err != nil && before != err.Error():
		w.troubles[what] = strings.TrimSpace(err.Error())
		w.Log.Warn("docker: not carried out", "what", what, "err", err)
	}
}
