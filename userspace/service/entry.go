// SPDX-License-Identifier: Apache-2.0

package service

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/health"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
)

// entry is a service.
type entry struct {
	// telling orders what the owner is told; it comes before Manager.mu. told is the last
	// of it; watched says that backends are checked.
	telling sync.Mutex
	told    *datapath.Service
	watched bool
	// drained are the drains that the Memory has.
	drained Drains

	// The rest is guarded by Manager.mu. spec is replaced, never changed.
	spec     *model.Service
	backends map[string]*backend
	// due says that a verdict is to be told still.
	due  bool
	gone bool
}

// backend is one of a service.
type backend struct {
	// member is nil for an address outside, which spec has. spec is a part of the
	// service's, or selected: there are a hundred thousand backends.
	member *Member
	spec   *model.ServiceBackend
	// verdict is nil while there is none.
	verdict *health.Verdict
	// leaving runs while the backend has left the service and drains; over says that it
	// has drained.
	leaving *time.Timer
	until   time.Time
	over    bool
	// logged is the state that the log has, or that there was at first.
	logged stateCode
}

func (b *backend) stay() {
	if b.leaving != nil {
		b.leaving.Stop()
	}
	b.leaving, b.over = nil, false
}

// trust takes the backends for healthy that served without checks, if there begin to be
// some, and returns their keys. What is known stays where checks are others.
func (e *entry) trust(begin bool) (served []string) {
	for key, b := range e.backends {
		if begin {
			b.verdict = &health.Verdict{Healthy: true}
			served = append(served, key)
		}
	}
	return served
}

func (e *entry) stopTimers() {
	for _, b := range e.backends {
		b.stay()
	}
}

// gather makes the backends those that the service has now. It needs mu.
func (m *Manager) gather(e *entry) {
	now := make(map[string]*model.ServiceBackend)
	selected := &model.ServiceBackend{Weight: 1}
	members := make(map[string]*Member)
	if len(e.spec.Selector) > 0 {
		for id, mb := range m.carrying[firstLabel(e.spec.Selector)] {
			if policy.Selects(e.spec.Selector, mb.Labels) {
				now[id], members[id] = selected, mb
			}
		}
	}
	for i := range e.spec.Backends {
		if b := &e.spec.Backends[i]; b.Addr.IsValid() {
			now[b.Addr.String()] = b
		} else if mb := m.named[b.Name]; mb != nil {
			now[mb.ID], members[mb.ID] = b, mb
		}
	}
	if e.backends == nil {
		e.backends = make(map[string]*backend, len(now))
	}
	for key, spec := range now {
		b := e.backends[key]
		if b == nil {
			b = new(backend)
			e.backends[key] = b
		}
		if b.leaving != nil || b.over {
			leave(m.draining, key, e.spec.ID)
		}
		b.stay()
		b.spec, b.member = spec, members[key]
	}
	for key, b := range e.backends {
		if _, stays := now[key]; stays {
			continue
		}
		if mb := m.members[key]; mb != nil {
			// Its endpoints may be others while it drains.
			b.member = mb
		}
		if b.leaving == nil && !b.over {
			m.drain(e, key, b)
		}
	}
}

// desired is what a datapath is told of the service. It needs mu.
func (m *Manager) desired(e *entry) datapath.Service {
	backends := make([]policy.Backend, 0, len(e.backends))
	for key, b := range e.backends {
		backends = append(backends, b.policy(e.spec, key))
	}
	return policy.Serve(e.spec, backends)
}

func (b *backend) policy(s *model.Service, key string) policy.Backend {
	state, _ := b.state(s, key)
	p := policy.Backend{Addr: b.spec.Addr, Port: b.spec.Port, Weight: b.spec.Weight, State: state}
	if b.member != nil {
		p.Endpoints = b.member.Endpoints
	}
	return p
}

// state says what a backend gets, and why that isn't everything.
func (b *backend) state(s *model.Service, key string) (state model.BackendState, reason string) {
	checked := health.Checked(s.Health)
	switch {
	case b.over:
		return model.BackendDown, "left the service, and its time to drain is over"
	// Whoever is about to end listens no more, and serves the flows that it has.
	case b.leaving != nil:
		return model.BackendDraining, "left the service"
	case b.member != nil && b.member.Leaving:
		return model.BackendDraining, "its sandbox is being stopped"
	case slices.Contains(s.Drained, key):
		return model.BackendDraining, "drained by hand"
	case checked && b.verdict == nil:
		return model.BackendDown, "wasn't checked yet"
	case checked && !b.verdict.Healthy:
		return model.BackendDown, cmp.Or(b.verdict.Reason, "isn't healthy")
	}
	return model.BackendActive, ""
}

// targets is what is to be checked, by backend. It needs mu.
func (m *Manager) targets(e *entry) map[string]health.Target {
	if !health.Checked(e.spec.Health) {
		return nil
	}
	all := make(map[string]health.Target, len(e.backends))
	for key, b := range e.backends {
		p := b.policy(e.spec, key)
		at := policy.HealthTarget(e.spec, &p)
		if !at.IsValid() || b.over {
			continue
		}
		t := health.Target{Addr: at, Check: e.spec.Health}
		if b.verdict != nil {
			t.Before = health.Unhealthy
			if b.verdict.Healthy {
				t.Before = health.Healthy
			}
		}
		all[key] = t
	}
	return all
}

// watch has the backends checked. It needs telling.
func (m *Manager) watch(serviceID string, e *entry, targets map[string]health.Target) {
	if len(targets) > 0 || e.watched {
		m.checks.Set(serviceID, targets)
	}
	e.watched = len(targets) > 0
}

// judge takes a verdict in, and has it told by another goroutine: whoever checks isn't to
// wait for the datapath. Another reason for the same is no news for anybody but who asks.
func (m *Manager) judge(v health.Verdict) {
	if m.Memory != nil && m.news(v) {
		m.Memory.Save(v.Group, []string{v.Target}, v.Healthy)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.judged(v)
	if b == nil {
		return
	}
	isNews := b.another(v)
	b.verdict = &v
	if isNews {
		m.tellSoon(m.services[v.Group])
	}
}

// news reports whether a verdict is another than the one before it.
func (m *Manager) news(v health.Verdict) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.judged(v)
	return b != nil && b.another(v)
}

// another tells a verdict from the backend's, no verdict being that it isn't healthy.
func (b *backend) another(v health.Verdict) bool {
	return v.Healthy != (b.verdict != nil && b.verdict.Healthy)
}

// judged is the backend that a verdict is about, nil if it is gone. It needs mu.
func (m *Manager) judged(v health.Verdict) *backend {
	e := m.services[v.Group]
	if m.closed || e == nil {
		return nil
	}
	return e.backends[v.Target]
}

// forget has the Memory forget a backend that is no more. It needs mu.
func (m *Manager) forget(e *entry, key string) {
	if m.Memory != nil {
		m.Memory.Forget(e.spec.ID, key)
	}
}

// tellSoon needs mu.
func (m *Manager) tellSoon(e *entry) {
	if e.due || m.held {
		return
	}
	e.due = true
	m.background.Go(func() { m.tellAll(m.running, []*entry{e}) })
}

// drain has a backend drain that isn't the service's any more. It needs mu.
func (m *Manager) drain(e *entry, key string, b *backend) {
	if m.held || e.spec.Drain == 0 {
		m.end(e, key, b)
		return
	}
	m.drainUntil(e, key, b, time.Now().Add(e.spec.Drain))
}

// drainUntil needs mu.
func (m *Manager) drainUntil(e *entry, key string, b *backend, until time.Time) {
	var t *time.Timer
	t = time.AfterFunc(time.Until(until), func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if !m.closed && b.leaving == t {
			m.end(e, key, b)
		}
	})
	b.leaving, b.until = t, until
	enter(m.draining, key, e.spec.ID, e)
}

// end has the flows of a backend end, and forgets it. It needs mu.
func (m *Manager) end(e *entry, key string, b *backend) {
	b.leaving, b.over = nil, true
	if m.held {
		delete(e.backends, key)
		m.forget(e, key)
		return
	}
	enter(m.draining, key, e.spec.ID, e)
	// Down for the datapath to see, then gone.
	m.tellSoon(e)
}

// over returns the backends that have drained, by key. It needs mu.
func (e *entry) over() map[string]*backend {
	all := make(map[string]*backend)
	for key, b := range e.backends {
		if b.over {
			all[key] = b
		}
	}
	return all
}

// drop forgets the backends of over that were told to be down, and reports whether there
// are any.
func (m *Manager) drop(e *entry, over map[string]*backend) (dropped bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, b := range over {
		if e.backends[key] == b && b.over {
			delete(e.backends, key)
			m.forget(e, key)
			leave(m.draining, key, e.spec.ID)
			dropped = true
		}
	}
	return dropped
}
