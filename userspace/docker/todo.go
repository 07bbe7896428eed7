// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
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
	all, allContainers   bool
	containers, networks map[string]bool
	// answered are closed when the answers are applied.
	answered []chan<- struct{}
}

// fewContainers are so many that the engine is asked for them and not for all.
const fewContainers = 32

func newTodo() *todo { return &todo{wake: pace.NewSignal()} }

func (t *todo) everything() { t.add(questions{all: true}) }

func (t *todo) network(id string) { t.add(questions{networks: map[string]bool{id: true}}) }

// container asks for one; for all if the ID isn't known.
func (t *todo) container(id string) {
	if id == "" {
		t.add(questions{allContainers: true})
		return
	}
	t.add(questions{containers: map[string]bool{id: true}})
}

func (t *todo) add(q questions) {
	t.mu.Lock()
	t.next.all = t.next.all || q.all
	t.next.allContainers = t.next.allContainers || q.allContainers
	if t.next.networks == nil {
		t.next.networks, t.next.containers = make(map[string]bool), make(map[string]bool)
	}
	maps.Copy(t.next.networks, q.networks)
	maps.Copy(t.next.containers, q.containers)
	t.next.answered = append(t.next.answered, q.answered...)
	t.mu.Unlock()
	t.wake.Raise()
}

// await asks for a network, for everything if the ID isn't known, and waits until the answer
// is applied or ctx ends.
func (t *todo) await(ctx context.Context, network string) error {
	answered := make(chan struct{})
	q := questions{all: network == "", answered: []chan<- struct{}{answered}}
	if network != "" {
		q.networks = map[string]bool{network: true}
	}
	t.add(q)
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take returns what there is to ask, and forgets it.
func (t *todo) take() questions {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.next
	t.next = questions{}
	q.allContainers = q.allContainers || len(q.containers) > fewContainers
	return q
}

func (q questions) none() bool {
	return !q.all && !q.allContainers && len(q.containers) == 0 && len(q.networks) == 0
}

func sorted(ids map[string]bool) []string { return slices.Sorted(maps.Keys(ids)) }
