// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/docker/listeners"
)

// engineSockets is the name in troubles of what the engine itself listens on.
const engineSockets = "the engine's own sockets"

// refuseAll has the engine's own sockets refuse what isn't carried, whenever it is asked
// to. Until the list of containers tells of a port, connections to it are completed by
// the engine's socket and served by nobody: they are reset once the port is carried.
func (w *Watcher) refuseAll(ctx context.Context) {
	own := listeners.New()
	defer own.Close()
	for w.refuse.Await(ctx) {
		if ports := w.unproxied(); len(ports) > 0 {
			w.owner.Report(engineSockets, own.Refuse(ports))
		}
	}
}

// unproxied are the TCP ports of containers that have no proxies.
func (w *Watcher) unproxied() []netip.AddrPort {
	w.mu.Lock()
	defer w.mu.Unlock()
	return facts.Unproxied(w.view.containers, w.held.Proxied())
}
