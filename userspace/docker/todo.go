// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"maps"
	"slices"
	"sync"

	"github.com/fairway-project/fairway/userspace/pace"
)

// todo is what to ask the engine for. Many reasons make one question.
type todo struct {
	mu   sync.Mutex
	next questions
	wake pace.Signal
}

// questions for the engine. All includes the others.
type questions struct {
	all, containers bool
	networks        map[string]bool
}

func newTodo() *todo { return &todo{wake: pace.NewSignal()} }

func (t *todo) everything() { t.add(questions{all: true}) }

func (t *todo) network(id string) {
	t.add(questions{containers: true, networks: map[string]bool{id: true}})
}

func (t *todo) containers() { t.add(questions{containers: true}) }

func (t *todo) add(q questions) {
	t.mu.Lock()
	t.next.all = t.next.all || q.all
	t.next.containers = t.next.containers || q.containers
	if t.next.networks == nil {
		t.next.networks = make(map[string]bool)
	}
	maps.Copy(t.next.networks, q.networks)
	t.mu.Unlock()
	t.wake.Raise()
}

// take returns what there is to ask, and forgets it.
func (t *todo) take() questions {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.next
	t.next = questions{}
	return q
}

func (q questions) none() bool { return !q.all && !q.containers && len(q.networks) == 0 }

func (q questions) ids() []string { return slices.Sorted(maps.Keys(q.networks)) }
