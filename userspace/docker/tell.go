// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"maps"
	"strings"

	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/wanted"
)

// names is a set of devices.
type names map[string]bool

func (n names) equal(o names) bool { return maps.Equal(n, o) }

// bridgeNames needs the lock.
func (w *Watcher) bridgeNames() names {
	out := make(names)
	for _, n := range w.view.networks {
		out[n.Device()] = true
	}
	return out
}

// NamesOf returns the container and the network of an endpoint.
func (w *Watcher) NamesOf(endpointID string) (container, network string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := w.view.names[endpointID]
	return names.container, names.network
}

// nameAll needs the lock.
func (v *view) nameAll() {
	v.names = make(map[string]endpointNames)
	for _, n := range v.networks {
		for _, e := range n.Endpoints {
			v.names[e.ID] = endpointNames{e.Name, n.Name}
		}
	}
}

// answerPrefix is for a network that can't be read, in troubles; that one is refused is
// another trouble.
const answerPrefix = "answer about "

// containerPrefix is for what a container was told to publish, in troubles.
const containerPrefix = "ports of container "

// forgetContainers drops the troubles of containers that are gone. It needs the lock.
func (w *Watcher) forgetContainers() {
	there := make(map[string]bool)
	for _, c := range w.view.containers {
		there[containerOf(c.ID)] = true
	}
	w.owner.Forget(func(subject string) bool {
		return !there[subject] && strings.HasPrefix(subject, containerPrefix)
	})
}

// forgetNetworks drops the troubles of networks that the engine doesn't list.
func (w *Watcher) forgetNetworks(list []client.Network) {
	there := make(map[string]bool)
	for _, n := range list {
		there[wanted.NetworkSubject(n.Name)] = true
	}
	w.owner.Forget(func(subject string) bool {
		subject = strings.TrimPrefix(subject, answerPrefix)
		return !there[subject] && strings.HasPrefix(subject, wanted.NetworkSubject(""))
	})
}
