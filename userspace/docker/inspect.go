// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/pace"
	"github.com/fairway-project/fairway/userspace/policy"
)

// Networks in gateway mode routed have no host ports, so no proxy is started for
// them, and recent engines leave their ports out of the list of containers. Only
// the inspection of a container tells them. It may block; hence a goroutine of its
// own, which asks once for each container that is listed as running.

const (
	// inspectWait bounds one inspection: a container whose lock is held for longer is
	// asked for again later, and the others meanwhile.
	inspectWait = 2 * time.Second
	// inspectPause is between two rounds in which something failed.
	inspectPause = time.Second
)

// inspectAll asks for what is missing, whenever it is asked to look.
func (w *Watcher) inspectAll(ctx context.Context) {
	for w.inspect.Await(ctx) {
		failed := false
		for _, id := range w.uninspected() {
			failed = !w.inspectOne(ctx, id) || failed
			if ctx.Err() != nil {
				return
			}
		}
		if failed {
			pace.Sleep(ctx, inspectPause)
			w.inspect.Raise()
		}
	}
}

// uninspected returns the running containers whose openings matter and aren't known,
// and forgets those of containers that are gone.
func (w *Watcher) uninspected() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	running, serves := make(map[string]bool), make(map[string]bool)
	for _, c := range w.view.containers {
		running[c.ID] = true
		// How a container ends that serves is asked for, too.
		serves[c.ID] = c.Labels[facts.ServiceLabel] != ""
	}
	want := make(map[string]bool)
	present := make(map[string]bool)
	for _, n := range w.view.networks {
		for _, e := range n.Endpoints {
			present[e.Container] = true
			if _, known := w.openings[e.Container]; !known && running[e.Container] && (serves[e.Container] || n.Routes(e)) {
				want[e.Container] = true
			}
		}
	}
	w.services.leaving.forget(func(id string) bool { return present[id] || running[id] })
	maps.DeleteFunc(w.openings, func(id string, _ []policy.Opening) bool { return !present[id] && !running[id] })
	return slices.Sorted(maps.Keys(want))
}

// inspectOne reports whether nothing is left to ask for.
func (w *Watcher) inspectOne(ctx context.Context, id string) bool {
	asking, cancel := context.WithTimeout(ctx, inspectWait)
	defer cancel()
	wanted, err := w.client.Container(asking, id)
	if errors.Is(err, client.ErrNotFound) {
		return true
	}
	var openings []policy.Opening
	if err == nil {
		openings, err = facts.Openings(wanted)
	}
	if ctx.Err() != nil {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.owner.Report(containerOf(id), err); err != nil {
		return false
	}
	w.openings[id] = openings
	w.services.leaving.endsAt(id, wanted.Config.StopSignal)
	w.pass(context.WithoutCancel(ctx))
	return true
}

func containerOf(id string) string { return fmt.Sprintf("%s%.12s", containerPrefix, id) }
