// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/model"
)

// Table is what the proxies hold, as they said it and as a scan found it.
type Table struct {
	mu sync.Mutex
	// all is sorted by its publications' keys, which are unique: thousands come
	// and go one by one, and all are asked for after each.
	all []entry
	// released are those that proxies gave up since the last scan.
	released map[model.PublishedPort]bool
}

type entry struct {
	facts.Held
	pid int
}

// NewTable returns an empty table.
func NewTable() *Table { return &Table{released: make(map[model.PublishedPort]bool)} }

// find returns where the entry with p's key is, or would be.
func (t *Table) find(p model.PublishedPort) (i int, found bool) {
	return slices.BinarySearchFunc(t.all, p, func(e entry, p model.PublishedPort) int {
		return facts.ComparePublished(e.PublishedPort, p)
	})
}

func (t *Table) put(e entry) {
	delete(t.released, e.PublishedPort)
	i, found := t.find(e.PublishedPort)
	if found {
		t.all[i] = e
		return
	}
	t.all = slices.Insert(t.all, i, e)
}

// Hold notes what the process pid holds. What another had under the same host
// address and port is replaced: the kernel lets only one have it.
func (t *Table) Hold(pid int, h facts.Held) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.put(entry{h, pid})
}

// LeadsTo reports whether any port leads to this address.
func (t *Table) LeadsTo(a netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.all, func(e entry) bool { return e.Target == a })
}

// Release forgets what the process pid holds of a publication; what another
// process has taken over since stays.
func (t *Table) Release(pid int, p model.PublishedPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i, found := t.find(p); found && t.all[i].pid == pid {
		t.all = slices.Delete(t.all, i, i+1)
		t.released[p] = true
	}
}

// Proxied tells the ports that have a proxy, or had one that released them since the last scan. A
// container that is listed with such a port a scan later has it without a proxy.
func (t *Table) Proxied() facts.Proxied {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := maps.Clone(t.released)
	for _, e := range t.all {
		all[e.PublishedPort] = true
	}
	return func(p model.PublishedPort) bool { return all[p] }
}

// Sync makes the table what a scan found. What a process held that is gone stays
// if keep says so: Docker's proxies die with it, and their ports are wanted on.
// Both are looked at again here, since Hold and Release went on during the scan.
func (t *Table) Sync(found map[int]facts.Held, keep func(facts.Held) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.released)
	t.prune(keep)
	for pid, h := range found {
		if holds(pid, h) {
			t.put(entry{h, pid})
		}
	}
}

// Prune forgets what processes held that are gone, unless keep says that it stays.
// Those are asked for only where keep says no: each is a file to read.
func (t *Table) Prune(keep func(facts.Held) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.prune(keep)
}

func (t *Table) prune(keep func(facts.Held) bool) {
	t.all = slices.DeleteFunc(t.all, func(e entry) bool { return !keep(e.Held) && !holds(e.pid, e.Held) })
}

// All lists what is held, in a stable order.
func (t *Table) All() []facts.Held {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]facts.Held, 0, len(t.all))
	for _, e := range t.all {
		out = append(out, e.Held)
	}
	return out
}
