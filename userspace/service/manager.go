// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"fmt"
	"sync"

	"github.com/fairway-project/fairway/userspace/audit"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/health"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
)

// Owner is told what services are to be; wanted.Owner is one.
type Owner interface {
	ExpectService(s datapath.Service)
	PutService(ctx context.Context, s datapath.Service) error
	DeleteService(ctx context.Context, id string) error
	// Mend tries again what failed, Report says how things are (package wanted).
	Mend(ctx context.Context, subject string, f func(context.Context) error) error
	Report(subject string, err error)
}

// Member is a sandbox that runs.
type Member struct {
	ID, Name string
	Labels   map[string]string
	// Endpoints are those that others reach it by.
	Endpoints []policy.Reach
	// Leaving says that it is being stopped: no new flows are to come.
	Leaving bool
}

// Config is what a Manager works with.
type Config struct {
	Owner Owner
	// Log has a line for each backend whose state has changed; nil for none.
	Log *audit.Log
	// Memory is what checks found before the daemon was started; nil takes everybody for
	// healthy who serves.
	Memory Memory
	// Probe replaces how backends are asked whether they serve; nil asks them (package
	// health).
	Probe func(ctx context.Context, t health.Target) error
	// Changed is called after a service was put, or its backends or their states have
	// changed; nil for nobody. It may look at the Manager, and must not change it.
	Changed func(serviceID string)
}

// Manager keeps the services of one owner.
type Manager struct {
	Config
	checks *health.Checker

	// mu guards all that follows, and isn't held while anybody is told anything.
	mu       sync.Mutex
	held     bool
	closed   bool
	services map[string]*entry
	members  map[string]*Member
	// named are the members by name, and carrying those by each label.
	named    map[string]*Member
	carrying map[label]map[string]*Member
	// asking are the services by a name that they ask for, and selecting those by one of
	// their selectors' labels.
	asking    map[string]map[string]*entry
	selecting map[label]map[string]*entry

	// draining are the services that a backend has left and drains for, by its key.
	draining map[string]map[string]*entry

	// background counts what tells by itself.
	background sync.WaitGroup
	running    context.Context
	stop       context.CancelFunc
}

type label struct{ key, value string }

// New returns a Manager of no services. The caller closes it.
func New(c Config) *Manager {
	m := &Manager{
		Config: c, held: true, services: make(map[string]*entry), members: make(map[string]*Member), named: make(map[string]*Member),
		carrying: make(map[label]map[string]*Member), asking: make(map[string]map[string]*entry), selecting: make(map[label]map[string]*entry),
		draining: make(map[string]map[string]*entry),
	}
	m.checks = health.New(health.Config{Tell: m.judge, Probe: c.Probe})
	m.running, m.stop = context.WithCancel(context.Background())
	return m
}

// Close ends timers and checks. What was told stays.
func (m *Manager) Close() {
	m.mu.Lock()
	m.closed = true
	for _, e := range m.services {
		e.stopTimers()
	}
	m.mu.Unlock()
	m.stop()
	m.checks.Close()
	m.background.Wait()
	if m.Memory != nil {
		m.Memory.Flush()
	}
}

// Load takes services and members in as an earlier process left them. What was healthy is
// believed to be so until a check says otherwise, and what wasn't (Memory) isn't. It is for
// the time before Begin.
func (m *Manager) Load(services []*model.Service, members []Member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, mb := range members {
		m.addMember(&mb)
	}
	for _, s := range services {
		e := &entry{spec: s}
		m.services[s.ID] = e
		m.indexService(e)
		m.gather(e)
		m.recall(e)
		for key, b := range e.backends {
			if !health.Checked(s.Health) {
				break
			}
			b.verdict = &health.Verdict{Healthy: true}
			if m.Memory != nil && !m.Memory.Healthy(s.ID, key) {
				b.verdict = &health.Verdict{Reason: "wasn't healthy before the daemon started"}
			}
		}
		m.Owner.ExpectService(m.desired(e))
	}
}

// Begin tells all services, and from now on each change. What is refused is tried again.
func (m *Manager) Begin(ctx context.Context) {
	m.mu.Lock()
	m.held = false
	forgotten := m.withoutService()
	var all []*entry
	for _, e := range m.services {
		all = append(all, e)
	}
	if m.Memory != nil {
		m.Memory.Keep(func(serviceID, backend string) bool {
			e := m.services[serviceID]
			return e != nil && e.backends[backend] != nil
		})
	}
	m.mu.Unlock()
	for _, id := range forgotten {
		_ = m.Memory.SaveDrains(id, nil) // it is reported, and does no harm
	}
	m.tellAll(ctx, all)
}

// Put adds a service, or changes one. An error is the datapath's: the service is kept, and
// nothing is tried again until something changes.
func (m *Manager) Put(ctx context.Context, s *model.Service) error {
	m.mu.Lock()
	e := m.services[s.ID]
	if e == nil {
		e = new(entry)
		m.services[s.ID] = e
	} else {
		m.unindexService(e)
	}
	before := e.spec
	e.spec = s
	begin := before != nil && !health.Checked(before.Health) && health.Checked(s.Health)
	served := e.trust(begin)
	m.indexService(e)
	m.gather(e)
	m.mu.Unlock()
	if m.Memory != nil && begin {
		m.Memory.Save(s.ID, served, true)
	}
	return m.tell(ctx, e)
}

// Tell says a service again, as after a network was made anew, and tries again what is
// refused. One that isn't there is no error.
func (m *Manager) Tell(ctx context.Context, id string) {
	m.mu.Lock()
	e := m.services[id]
	m.mu.Unlock()
	if e == nil {
		return
	}
	m.tellAgain(ctx, []*entry{e})
}

// tellAgain tells services whether there is news or not.
func (m *Manager) tellAgain(ctx context.Context, all []*entry) {
	for _, e := range all {
		e.telling.Lock()
		e.told = nil
		e.telling.Unlock()
	}
	m.tellAll(ctx, all)
}

// Remove ends a service. One that is gone is no error.
func (m *Manager) Remove(ctx context.Context, id string) error {
	m.mu.Lock()
	e := m.services[id]
	m.mu.Unlock()
	if e == nil {
		return nil
	}
	e.telling.Lock()
	defer e.telling.Unlock()
	if err := m.Owner.DeleteService(ctx, id); err != nil {
		return err
	}
	m.mu.Lock()
	e.gone = true
	e.stopTimers()
	m.unindexService(e)
	delete(m.services, id)
	for key := range e.backends {
		m.forget(e, key)
	}
	m.mu.Unlock()
	m.remember(id, e, nil)
	m.checks.Set(id, nil)
	m.Owner.Report(Subject(e.spec), nil)
	return nil
}

// Subject is what a service is called in troubles. Services of several networks may have
// one name, so that its ID is a part of it.
func Subject(s *model.Service) string { return fmt.Sprintf("service %s (%.12s)", s.Name, s.ID) }

func (m *Manager) subject(e *entry) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Subject(e.spec)
}

// tellAll tells services after an event that nobody waits for the answer of.
func (m *Manager) tellAll(ctx context.Context, all []*entry) {
	for _, e := range all {
		if err := m.tell(ctx, e); err != nil {
			_ = m.Owner.Mend(ctx, m.subject(e), func(ctx context.Context) error { return m.tell(ctx, e) })
		}
	}
}

// tell has the owner want what the service is now, if that is news.
func (m *Manager) tell(ctx context.Context, e *entry) error {
	e.telling.Lock()
	defer e.telling.Unlock()
	for {
		over, err := m.tellOnce(ctx, e)
		if err != nil || !m.drop(e, over) {
			return err
		}
	}
}

// tellOnce returns the backends of which it told that they are down, since they have
// drained. It needs telling.
func (m *Manager) tellOnce(ctx context.Context, e *entry) (over map[string]*backend, err error) {
	m.mu.Lock()
	e.due = false
	if m.held || e.gone || m.closed {
		m.mu.Unlock()
		return nil, nil
	}
	want, targets, subject := m.desired(e), m.targets(e), Subject(e.spec)
	over = e.over()
	changes, drains := m.changes(e), e.drains()
	m.mu.Unlock()
	m.remember(want.ID, e, drains)
	m.watch(want.ID, e, targets)
	if e.told == nil || !policy.SameService(e.told, &want) {
		// What is refused may be there in part, so that what was told before is news.
		e.told = nil
		if err := m.Owner.PutService(ctx, want); err != nil {
			return nil, err
		}
		e.told = &want
		m.Owner.Report(subject, nil)
	}
	m.logChanges(changes)
	if m.Changed != nil {
		m.Changed(want.ID)
	}
	return over, nil
}
