// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/wanted"
)

// holdWait bounds how long a proxy waits for what the engine says of its container. The
// proxy itself waits for 5 s.
const holdWait = 3 * time.Second

// HoldPort takes note of a host port that the process pid, a proxy of the engine's,
// holds for a container. When it returns, the port is carried, if the container's
// interface is there: engines up to 26 put it there later, before they start the container's
// process, and then the kernel's report of it is enough. It waits for the engine, if
// that answers, for holdWait at most, and then the port is carried later as well. On an
// internal network it is never carried. An error means that it can't be carried, and
// nothing was noted.
func (w *Watcher) HoldPort(ctx context.Context, pid int, h facts.Held) (internal bool, err error) {
	w.mu.Lock()
	first := !w.held.LeadsTo(h.Target)
	w.held.Hold(pid, h)
	w.pass(context.WithoutCancel(ctx))
	w.mu.Unlock()
	if first {
		w.meetEndpoint(ctx, h.Target)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	if text := w.owner.Trouble(wanted.PortsSubject(w.owner.EndpointAt(h.Target))); text != "" {
		w.held.Release(pid, h.PublishedPort)
		w.pass(ctx)
		return false, fmt.Errorf("published port %s: %s", h.PublishedPort, text)
	}
	return facts.Internal(w.view.networks, h.Target), nil
}

// meetEndpoint asks the engine for the endpoint with this address if its device isn't
// known. The engine's event about it comes after its proxies have been started, and may be
// heard of when the container runs already.
func (w *Watcher) meetEndpoint(ctx context.Context, address netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, holdWait)
	defer cancel()
	// The answer is of use for devices that were seen before. One that was not, because the
	// kernel's report is still to be read, is looked for before the second question.
	for question := range 2 {
		network, met := w.whereabouts(address)
		if !met && question > 0 {
			w.lookAgain()
			network, met = w.whereabouts(address)
		}
		if met || w.todo.await(ctx, network) != nil {
			return
		}
	}
}

// whereabouts returns the network that an address is on, "" for one that isn't known. Met
// says that there is nothing to ask: the address is an endpoint's with a device, or nobody
// is to get there, or the engine says nothing at the moment.
func (w *Watcher) whereabouts(address netip.Addr) (network string, met bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.view.complete || !w.hears.Load() || w.Wanted.Stopped() {
		return "", true
	}
	return facts.NetworkOf(w.view.networks, address), w.owner.EndpointAt(address) != "" || facts.Internal(w.view.networks, address)
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
