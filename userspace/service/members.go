// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"maps"
	"slices"

	"github.com/fairway-project/fairway/userspace/policy"
)

// SetMember says what a sandbox that runs is now, and has the services follow that it
// serves, or served before.
func (m *Manager) SetMember(ctx context.Context, mb Member) {
	m.mu.Lock()
	before := m.members[mb.ID]
	var concerned []*entry
	if before != nil {
		// Whoever is being stopped may lose a network meanwhile.
		mb.Leaving = mb.Leaving || before.Leaving
		concerned = m.concernedBy(before)
		m.dropMember(before)
	}
	m.addMember(&mb)
	concerned = append(concerned, m.concernedBy(&mb)...)
	all := m.regather(concerned)
	m.mu.Unlock()
	m.tellAll(ctx, all)
}

// RemoveMember says that a sandbox doesn't run any more: its flows end with it. One that
// isn't known is no error.
func (m *Manager) RemoveMember(ctx context.Context, id string) {
	m.mu.Lock()
	mb := m.members[id]
	if mb == nil {
		m.mu.Unlock()
		return
	}
	concerned := m.concernedBy(mb)
	m.dropMember(mb)
	for _, e := range concerned {
		if b := e.backends[id]; b != nil {
			b.stay()
			delete(e.backends, id)
			m.forget(e, id)
			leave(m.draining, id, e.spec.ID)
		}
	}
	m.mu.Unlock()
	m.tellAll(ctx, unique(concerned))
}

// Leaving says that a sandbox is being stopped, so that it gets no new flows. One that
// isn't known is no error.
func (m *Manager) Leaving(ctx context.Context, id string, is bool) {
	m.mu.Lock()
	mb := m.members[id]
	if mb == nil || mb.Leaving == is {
		m.mu.Unlock()
		return
	}
	mb.Leaving = is
	all := unique(m.concernedBy(mb))
	m.mu.Unlock()
	m.tellAll(ctx, all)
}

// TellMember says the services of a sandbox again whose endpoints were made anew. One that
// isn't known is no error.
func (m *Manager) TellMember(ctx context.Context, id string) {
	m.mu.Lock()
	var all []*entry
	if mb := m.members[id]; mb != nil {
		all = unique(m.concernedBy(mb))
	}
	m.mu.Unlock()
	m.tellAgain(ctx, all)
}

// regather needs mu.
func (m *Manager) regather(concerned []*entry) []*entry {
	concerned = unique(concerned)
	for _, e := range concerned {
		m.gather(e)
	}
	return concerned
}

// unique returns the entries in no order, each once.
func unique(all []*entry) []*entry {
	seen := make(map[*entry]bool, len(all))
	return slices.DeleteFunc(all, func(e *entry) bool {
		twice := seen[e]
		seen[e] = true
		return twice
	})
}

// concernedBy returns the services that ask for a member, or have it still. It needs mu.
func (m *Manager) concernedBy(mb *Member) (all []*entry) {
	all = slices.Collect(maps.Values(m.asking[mb.Name]))
	for key, value := range mb.Labels {
		for _, e := range m.selecting[label{key, value}] {
			if policy.Selects(e.spec.Selector, mb.Labels) {
				all = append(all, e)
			}
		}
	}
	return append(all, m.having(mb.ID)...)
}

// having returns the services that a member drains for. It needs mu.
func (m *Manager) having(id string) (all []*entry) {
	for _, e := range m.draining[id] {
		if e.backends[id] != nil {
			all = append(all, e)
		}
	}
	return all
}

// addMember needs mu.
func (m *Manager) addMember(mb *Member) {
	m.members[mb.ID] = mb
	m.named[mb.Name] = mb
	for key, value := range mb.Labels {
		enter(m.carrying, label{key, value}, mb.ID, mb)
	}
}

// dropMember needs mu.
func (m *Manager) dropMember(mb *Member) {
	delete(m.members, mb.ID)
	if m.named[mb.Name] == mb {
		delete(m.named, mb.Name)
	}
	for key, value := range mb.Labels {
		leave(m.carrying, label{key, value}, mb.ID)
	}
}

// indexService needs mu.
func (m *Manager) indexService(e *entry) {
	for _, b := range e.spec.Backends {
		if b.Name != "" {
			enter(m.asking, b.Name, e.spec.ID, e)
		}
	}
	if len(e.spec.Selector) > 0 {
		enter(m.selecting, firstLabel(e.spec.Selector), e.spec.ID, e)
	}
}

// unindexService needs mu.
func (m *Manager) unindexService(e *entry) {
	for _, b := range e.spec.Backends {
		if b.Name != "" {
			leave(m.asking, b.Name, e.spec.ID)
		}
	}
	if len(e.spec.Selector) > 0 {
		leave(m.selecting, firstLabel(e.spec.Selector), e.spec.ID)
	}
}

// firstLabel is the one that a selector's service is found by.
func firstLabel(selector map[string]string) label {
	key := slices.Min(slices.Collect(maps.Keys(selector)))
	return label{key, selector[key]}
}

func enter[K comparable, V any](index map[K]map[string]V, key K, id string, v V) {
	if index[key] == nil {
		index[key] = make(map[string]V)
	}
	index[key][id] = v
}

func leave[K comparable, V any](index map[K]map[string]V, key K, id string) {
	delete(index[key], id)
	if len(index[key]) == 0 {
		delete(index, key)
	}
}
