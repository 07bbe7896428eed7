// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/docker/proxies"
	"github.com/fairway-project/fairway/userspace/pace"
	"github.com/fairway-project/fairway/userspace/policy"
	"github.com/fairway-project/fairway/userspace/wanted"
)

// Pauses after the engine could not be reached.
const (
	minPause = 50 * time.Millisecond
	maxPause = 2 * time.Second
	// toldAfter is how many questions in a row fail before that is a trouble.
	toldAfter = 3
	// longestRest bounds how long an engine that answered is left alone.
	longestRest = 200 * time.Millisecond
)

// followEvents turns the engine's events into questions, and connects again
// whenever the stream ends.
func (w *Watcher) followEvents(ctx context.Context) {
	pause := minPause
	for ctx.Err() == nil {
		err := w.stream(ctx, func() { pause = minPause })
		if ctx.Err() != nil {
			return
		}
		w.owner.Report("engine", err)
		w.startedUp()
		pace.Sleep(ctx, pause)
		pause = min(2*pause, maxPause)
	}
}

func (w *Watcher) stream(ctx context.Context, connected func()) error {
	if err := w.client.Connect(ctx); err != nil {
		return err
	}
	s, err := w.client.Events(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	w.hears.Store(true)
	defer w.hears.Store(false)
	connected()
	w.owner.Report("engine", nil)
	w.todo.everything()
	for {
		e, err := s.Next()
		if err != nil {
			return err
		}
		w.note(e)
	}
}

// startedUp ends the wait of Start.
func (w *Watcher) startedUp() { w.once.Do(func() { close(w.first) }) }

// note says what an event is a reason to ask for.
func (w *Watcher) note(e client.Event) {
	switch {
	case e.Type == "network" && (e.Action == "create" || e.Action == "connect" || e.Action == "disconnect"):
		// One question, not one per network: until it is answered a new network's
		// devices aren't known for Docker's, and are open.
		w.todo.network(e.Actor.ID)
		if e.Action != "create" {
			w.todo.container(e.Actor.Attributes["container"])
		}
	case e.Type == "network", e.Type == "daemon":
		w.todo.everything()
	case e.Type == "container":
		switch e.Action {
		case "kill":
			w.noteSignal(e)
		case "start":
			w.services.leaving.begins(e.Actor.ID)
			w.todo.container(e.Actor.ID)
		case "die", "rename", "restart", "destroy":
			w.todo.container(e.Actor.ID)
		}
	}
}

// follow asks what there is to ask and applies the answers.
func (w *Watcher) follow(ctx context.Context) {
	ticker := time.NewTicker(relistEvery)
	defer ticker.Stop()
	pause, failed := minPause, 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.todo.everything()
			continue
		case <-w.todo.wake:
		}
		q := w.todo.take()
		if q.none() {
			continue
		}
		asked := time.Now()
		err := w.ask(ctx, q)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.Log.Debug("docker not asked", "err", err)
			if failed++; failed >= toldAfter {
				// Until it has said everything again.
				w.owner.Report(w.client.Socket(), err)
				q.all = true
			}
			pace.Sleep(ctx, pause)
			pause = min(2*pause, maxPause)
			w.todo.add(q)
			continue
		}
		pause, failed = minPause, 0
		for _, answered := range q.answered {
			close(answered)
		}
		if q.all {
			w.startedUp()
		}
		// An engine that starts many containers has better things to do than to answer all
		// the time. What happens meanwhile is one question more.
		pace.Sleep(ctx, min(time.Since(asked), longestRest))
	}
}

// ask gets answers and applies them. An error means that nothing was applied.
func (w *Watcher) ask(ctx context.Context, q questions) error {
	if q.all {
		return w.askAll(ctx)
	}
	asked := w.now()
	known := make(map[string]facts.Network)
	var gone []string
	for _, id := range sorted(q.networks) {
		n, err := w.client.Network(ctx, id)
		if errors.Is(err, client.ErrNotFound) {
			gone = append(gone, id)
			continue
		}
		if err != nil {
			return err
		}
		w.translate(n, known)
	}
	containers, err := w.askContainers(ctx, q)
	if err != nil {
		return err
	}
	w.learn(ctx, func(v *view) {
		for id, n := range known {
			v.networks[id], v.asked[id] = n, asked
		}
		for _, id := range gone {
			delete(v.networks, id)
			delete(v.asked, id)
		}
		if q.allContainers {
			v.containers = containers
		} else {
			v.containers = withContainers(v.containers, q.containers, containers)
		}
		if q.allContainers || len(q.containers) > 0 {
			// Not all proxies say that they end. What one of them led to may be
			// another container's address by the next look.
			w.held.Prune(facts.Listed(v.networks, v.containers))
		}
	})
	return nil
}

// askContainers lists those that q is about.
func (w *Watcher) askContainers(ctx context.Context, q questions) ([]client.Container, error) {
	switch {
	case q.allContainers:
		return w.client.Containers(ctx)
	case len(q.containers) > 0:
		return w.client.Containers(ctx, sorted(q.containers)...)
	}
	return nil, nil
}

// withContainers returns a list of containers in which the answer to a question about some
// takes their place. It changes neither.
func withContainers(list []client.Container, asked map[string]bool, answer []client.Container) []client.Container {
	others := slices.DeleteFunc(slices.Clone(list), func(c client.Container) bool { return asked[c.ID] })
	return append(others, answer...)
}

func (w *Watcher) askAll(ctx context.Context) error {
	asked := w.now()
	list, err := w.client.Networks(ctx)
	if err != nil {
		return err
	}
	networks := make(map[string]facts.Network)
	for _, n := range list {
		if !facts.IsBridge(n) {
			continue
		}
		full, err := w.client.Network(ctx, n.ID)
		if errors.Is(err, client.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		w.translate(full, networks)
	}
	containers, err := w.client.Containers(ctx)
	if err != nil {
		return err
	}
	found, err := proxies.Scan()
	if err != nil {
		return err
	}
	// A proxy that died with its engine has been started again before the engine
	// answers; what one held that was killed by hand is still wanted.
	w.held.Sync(found, facts.Listed(networks, containers))
	w.forgetNetworks(list)
	w.learn(ctx, func(v *view) {
		w.owner.Report(w.client.Socket(), nil)
		v.networks, v.asked, v.containers, v.complete = networks, make(map[string]uint64), containers, true
		for id := range networks {
			v.asked[id] = asked
		}
	})
	return nil
}

// translate puts a network into all, if it is one of ours to carry. A network that
// can't be read is told and left out.
func (w *Watcher) translate(n client.Network, all map[string]facts.Network) {
	if !facts.IsBridge(n) {
		return
	}
	w.mu.Lock()
	addrs := w.devices.Bridges[policy.BridgeName(n.ID, n.Options)].Addresses
	w.mu.Unlock()
	t, err := facts.BridgeNetwork(n, addrs)
	w.owner.Report(answerPrefix+wanted.NetworkSubject(n.Name), err)
	if err == nil {
		all[n.ID] = t
	}
}

// now is the clock for a question that is about to be sent.
func (w *Watcher) now() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

// learn changes the view and makes the datapath follow it.
func (w *Watcher) learn(ctx context.Context, edit func(*view)) {
	w.mu.Lock()
	before := w.bridgeNames()
	edit(&w.view)
	w.onBridge = nil
	w.view.nameAll()
	w.pass(ctx)
	changed := !before.equal(w.bridgeNames())
	w.mu.Unlock()
	w.inspect.Raise()
	w.refuse.Raise()
	if changed && w.BridgesChanged != nil {
		w.BridgesChanged(ctx)
	}
}
