// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"fmt"

	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/wanted"
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
	if text := w.owner.Trouble(wanted.PortsSubject(w.owner.EndpointAt(h.Target))); text != "" {
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
	if text := w.owner.PortTrouble(p); text != "" && !w.Wanted.Stopped() {
		return fmt.Errorf("published port %s: %s", p, text)
	}
	return nil
}
