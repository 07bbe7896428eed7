// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"cmp"
	"slices"
	"sync"

	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/model"
)

// Table is what the proxies hold, as they said it and as a scan found it.
type Table struct {
	mu  sync.Mutex
	all map[facts.Key]entry
}

type entry struct {
	facts.Held
	pid int
}

// NewTable returns an empty table.
func NewTable() *Table { return &Table{all: make(map[facts.Key]entry)} }

// Hold notes what the process pid holds. What another had under the same host
// address and port is replaced: the kernel lets only one have it.
func (t *Table) Hold(pid int, h facts.Held) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all[facts.KeyOf(h.PublishedPort)] = entry{h, pid}
}

// Release forgets what the process pid holds of a publication; what another
// process has taken over since stays.
func (t *Table) Release(pid int, p model.PublishedPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := facts.KeyOf(p); t.all[k].pid == pid {
		delete(t.all, k)
	}
}

// Sync makes the table what a scan found. What a process held that is gone stays
// if keep says so: Docker's proxies die with it, and their ports are wanted on.
// Both are looked at again here, since Hold and Release went on during the scan.
func (t *Table) Sync(found map[int]facts.Held, keep func(facts.Held) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, e := range t.all {
		if !holds(e.pid, e.Held) && !keep(e.Held) {
			delete(t.all, k)
		}
	}
	for pid, h := range found {
		if holds(pid, h) {
			t.all[facts.KeyOf(h.PublishedPort)] = entry{h, pid}
		}
	}
}

// All lists what is held, in a stable order.
func (t *Table) All() []facts.Held {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]facts.Held, 0, len(t.all))
	for _, e := range t.all {
		out = append(out, e.Held)
	}
	slices.SortFunc(out, func(a, b facts.Held) int {
		return cmp.Or(cmp.Compare(a.Port.Proto, b.Port.Proto), cmp.Compare(a.HostPort, b.HostPort), a.HostIP.Compare(b.HostIP))
	})
	return out
}
