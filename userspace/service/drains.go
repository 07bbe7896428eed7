// SPDX-License-Identifier: Apache-2.0

package service

import (
	"maps"
	"time"
)

// recall has the backends drain on that had left the service when the daemon was started, unless
// their sandbox has ended since. It needs mu.
func (m *Manager) recall(e *entry) {
	if m.Memory == nil {
		return
	}
	e.drained = m.Memory.Drains()[e.spec.ID]
	for key, d := range e.drained {
		mb := m.members[key]
		if e.backends[key] != nil || !time.Now().Before(d.Until) || mb == nil && !d.Backend.Addr.IsValid() {
			continue
		}
		b := &backend{member: mb, spec: &d.Backend}
		e.backends[key] = b
		m.drainUntil(e, key, b, d.Until)
	}
}

// drains are the backends that have left and drain. It needs mu.
func (e *entry) drains() Drains {
	all := make(Drains)
	for key, b := range e.backends {
		if b.leaving != nil {
			all[key] = Draining{Backend: *b.spec, Until: b.until}
		}
	}
	return all
}

// remember has the Memory know who drains, before anybody is told of it. What can't be kept is
// tried again when the service is told of the next time. It needs telling.
func (m *Manager) remember(serviceID string, e *entry, now Drains) {
	if m.Memory == nil || maps.EqualFunc(now, e.drained, Draining.equal) {
		return
	}
	if m.Memory.SaveDrains(serviceID, now) == nil {
		e.drained = now
	}
}

// withoutService are the IDs of services that are gone, of which the Memory has drains. It needs mu.
func (m *Manager) withoutService() (ids []string) {
	if m.Memory == nil {
		return nil
	}
	for id := range m.Memory.Drains() {
		if m.services[id] == nil {
			ids = append(ids, id)
		}
	}
	return ids
}
