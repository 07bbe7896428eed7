// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"sync"
)

// lockKey names an object whose edits exclude each other.
type lockKey struct {
	// network locks come after sandbox locks in the order of locking.
	network bool
	id      string
}

// lockTable holds one read-write lock per object that is being edited.
//
// An edit of a sandbox holds the sandbox's lock exclusively and those of its
// networks shared, so that edits of different sandboxes run side by side; an
// edit of a network holds its lock exclusively. The engine's own mutex is never
// held across slow work, so that reads don't wait for any of this.
type lockTable struct {
	mu      sync.Mutex
	entries map[lockKey]*lockEntry
}

type lockEntry struct {
	sync.RWMutex
	users int
}

// sandbox locks a sandbox for an edit that concerns the networks given.
func (t *lockTable) sandbox(id string, networks ...string) (unlock func()) {
	unlocks := []func(){t.exclusive(lockKey{id: id})}
	ids := slices.Compact(slices.Sorted(slices.Values(networks)))
	for _, n := range ids {
		unlocks = append(unlocks, t.shared(lockKey{network: true, id: n}))
	}
	return func() {
		for _, u := range slices.Backward(unlocks) {
			u()
		}
	}
}

// network locks a network for an edit of its own.
func (t *lockTable) network(id string) (unlock func()) {
	return t.exclusive(lockKey{network: true, id: id})
}

func (t *lockTable) exclusive(k lockKey) func() {
	e := t.enter(k)
	e.Lock()
	return func() { e.Unlock(); t.leave(k) }
}

func (t *lockTable) shared(k lockKey) func() {
	e := t.enter(k)
	e.RLock()
	return func() { e.RUnlock(); t.leave(k) }
}

func (t *lockTable) enter(k lockKey) *lockEntry {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entries == nil {
		t.entries = make(map[lockKey]*lockEntry)
	}
	e := t.entries[k]
	if e == nil {
		e = new(lockEntry)
		t.entries[k] = e
	}
	e.users++
	return e
}

func (t *lockTable) leave(k lockKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[k]
	if e.users--; e.users == 0 {
		delete(t.entries, k)
	}
}
