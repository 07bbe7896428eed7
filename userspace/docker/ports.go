// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"fmt"

	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/model"
)

// HoldPort takes note of a host port that the process pid, a proxy of the engine's,
// holds for a container. It doesn't wait until the port is carried: with engines
// before 26 the container's interface isn't there yet. On an internal network it is
// never carried. An error means that it can't be carried, and nothing was noted.
func (w *Watcher) HoldPort(ctx context.Context, pid int, h facts.Held) (internal bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	w.held.Hold(pid, h)
	w.pass(ctx)
	if text, bad := w.troubles[portsOf(w.publisher(h))]; bad {
		w.held.Release(pid, h.PublishedPort)
		w.pass(ctx)
		return false, fmt.Errorf("published port %s: %s", h.PublishedPort, text)
	}
	return facts.Internal(w.view.networks, h.Target), nil
}

// ReleasePort ends the publication; connections through it go on. When it returns,
// the port leads nowhere.
func (w *Watcher) ReleasePort(ctx context.Context, pid int, p model.PublishedPort) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held.Release(pid, p)
	w.pass(context.WithoutCancel(ctx))
	if w.stopped {
		return nil
	}
	for id, ports := range w.applied.ports {
		for _, have := range ports {
			if have.PublishedPort == p && w.troubles[portsOf(id)] != "" {
				return fmt.Errorf("published port %s: %s", p, w.troubles[portsOf(id)])
			}
		}
	}
	return nil
}

// publisher returns the endpoint that has h's target, if it is carried.
func (w *Watcher) publisher(h facts.Held) string {
	for id, e := range w.applied.endpoints {
		if e.IPv4 == h.Target || e.IPv6 == h.Target {
			return id
		}
	}
	return ""
}
