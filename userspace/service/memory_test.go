// SPDX-License-Identifier: Apache-2.0

package service

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/store"
)

// recall is a Memory that a test looks into.
type recall struct {
	mu      sync.Mutex
	healthy map[string]bool
	before  []string
	drains  map[string]Drains
	// saved is called with what is saved, before it returns.
	saved func()
}

func newRecall(before ...string) *recall {
	return &recall{healthy: make(map[string]bool), before: before, drains: make(map[string]Drains)}
}

func (r *recall) Healthy(serviceID, backend string) bool {
	return slices.Contains(r.before, serviceID+"/"+backend)
}

func (r *recall) Save(serviceID string, backends []string, healthy bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range backends {
		r.healthy[serviceID+"/"+b] = healthy
	}
	if r.saved != nil {
		r.saved()
	}
}

func (r *recall) Forget(serviceID, backend string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.healthy, serviceID+"/"+backend)
}

func (r *recall) Keep(func(serviceID, backend string) bool) {}

func (r *recall) Flush() {}

func (r *recall) Drains() map[string]Drains { return r.drains }

func (r *recall) SaveDrains(serviceID string, d Drains) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(d) == 0 {
		delete(r.drains, serviceID)
	} else {
		r.drains[serviceID] = d
	}
	return nil
}

func (r *recall) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for id, is := range r.healthy {
		all = append(all, fmt.Sprintf("%s %t", id, is))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func checkedBy(names ...string) func(*model.Service) {
	return func(s *model.Service) {
		named(names...)(s)
		s.Health = model.Health{Kind: model.HealthTCP, Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 2}
	}
}

// What a datapath is told of a backend's health is remembered before.
func TestRememberedBeforeItIsTold(t *testing.T) {
	run(t, func(x *fixture) {
		memory := newRecall()
		x.Memory = memory
		var early []string
		memory.saved = func() { early = append(early, x.owner.pool("web")) }
		x.Begin(x.ctx)
		x.SetMember(x.ctx, box("a", 1))
		x.SetMember(x.ctx, box("b", 2))
		x.fail("10.0.0.2", true)
		x.put(svc("web", checkedBy("a", "b")))
		time.Sleep(time.Second)
		x.want("web", "10.0.0.1, 10.0.0.2 down")
		x.fail("10.0.0.1", true)
		time.Sleep(4 * time.Second)
		x.want("web", "10.0.0.1 down, 10.0.0.2 down")
		if want := []string{"10.0.0.1 down, 10.0.0.2 down", "10.0.0.1, 10.0.0.2 down"}; !slices.Equal(early, want) {
			t.Errorf("told when it was saved: %q, want %q", early, want)
		}
		if got := memory.text(); got != "web/id-a false" {
			t.Errorf("remembered: %s", got)
		}
		x.RemoveMember(x.ctx, "id-a")
		if got := memory.text(); got != "" {
			t.Errorf("remembered of one that is gone: %s", got)
		}
	})
}

// Checks that begin find who served healthy, and others go on from what is known: no flow
// ends because of a change of how is asked.
func TestChecksThatBegin(t *testing.T) {
	run(t, func(x *fixture) {
		memory := newRecall()
		x.Memory = memory
		x.Begin(x.ctx)
		x.SetMember(x.ctx, box("a", 1))
		x.put(svc("web", named("a")))
		x.put(svc("web", checkedBy("a", "b")))
		x.SetMember(x.ctx, box("b", 2))
		if got := poolText(x.owner.said["web"][len(x.owner.said["web"])-1]); got != "10.0.0.1, 10.0.0.2 down" {
			t.Errorf("when checks begin: %q", got)
		}
		time.Sleep(5 * time.Second)
		x.want("web", "10.0.0.1, 10.0.0.2")
		before := x.owner.times("web")
		x.put(svc("web", func(s *model.Service) { checkedBy("a", "b")(s); s.Health.Interval = 2 * time.Second }))
		time.Sleep(5 * time.Second)
		x.want("web", "10.0.0.1, 10.0.0.2")
		if n := x.owner.times("web"); n != before {
			t.Errorf("said %d times more for another interval", n-before)
		}
		if got := memory.text(); got != "web/id-a true, web/id-b true" {
			t.Errorf("remembered: %s", got)
		}
	})
}

// One that drains listens no more, and its flows go on.
func TestDrainingIsntJudged(t *testing.T) {
	run(t, func(x *fixture) {
		x.Begin(x.ctx)
		x.SetMember(x.ctx, box("a", 1))
		x.put(svc("web", checkedBy("a")))
		time.Sleep(time.Second)
		x.want("web", "10.0.0.1")
		x.Leaving(x.ctx, "id-a", true)
		x.fail("10.0.0.1", true)
		time.Sleep(9 * time.Second)
		x.want("web", "10.0.0.1 draining")
	})
}

func TestStoredMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	var failures []error
	report := func(err error) { failures = append(failures, err) }
	open := func() (*store.Store, *Stored, *Stored) {
		s, err := store.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		own, err := OpenMemory(s, "fairway", report)
		if err != nil {
			t.Fatal(err)
		}
		other, err := OpenMemory(s, "docker", report)
		if err != nil {
			t.Fatal(err)
		}
		return s, own, other
	}
	s, own, other := open()
	own.Save("web", []string{"a", "b", "2001:db8::1"}, true)
	own.Save("web", []string{"b"}, false)
	other.Save("web", []string{"c"}, true)
	own.Forget("web", "a")
	if own.Healthy("web", "b") {
		t.Error("healthy at the start, though nothing was known")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, own, other = open()
	for _, c := range []struct {
		of      *Stored
		backend string
		want    bool
	}{
		// What is forgotten is written with the next change.
		{own, "a", true}, {own, "b", false}, {own, "2001:db8::1", true}, {own, "c", false}, {other, "c", true}, {other, "a", false},
	} {
		if c.of.Healthy("web", c.backend) != c.want {
			t.Errorf("%s%s: healthy is %t", c.of.prefix, c.backend, !c.want)
		}
	}
	own.Forget("web", "a")
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() { own.Save("many", []string{fmt.Sprint(i)}, true) })
	}
	all.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, own, _ = open()
	for i := range 50 {
		if !own.Healthy("many", fmt.Sprint(i)) {
			t.Errorf("%d was lost", i)
		}
	}
	if own.Healthy("web", "a") {
		t.Error("what was forgotten is there")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, err := range failures {
		if err != nil {
			t.Error(err)
		}
	}
	own.Save("web", []string{"z"}, true)
	if failures[len(failures)-1] == nil {
		t.Error("a write that failed wasn't reported")
	}
}

// A write that failed is done with the next one, and what was never healthy costs nothing.
func TestStoredMemoryTriesAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	open := func() *store.Store {
		s, err := store.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	closed := open()
	m, err := OpenMemory(closed, "fairway", func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		m.Forget("web", fmt.Sprint(i))
	}
	if len(m.pending) != 0 {
		t.Errorf("%d are to be forgotten that never were healthy", len(m.pending))
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	m.Save("web", []string{"a", "b"}, true)
	m.store = open()
	m.Save("web", []string{"b"}, false)
	m.Save("web", []string{"c"}, true)
	m.Forget("web", "c")
	m.Save("web", []string{"d"}, true)
	if m, err = OpenMemory(m.store, "fairway", func(error) {}); err != nil {
		t.Fatal(err)
	}
	for backend, want := range map[string]bool{"a": true, "b": false, "c": false, "d": true} {
		if m.Healthy("web", backend) != want {
			t.Errorf("%s: healthy is %t", backend, !want)
		}
	}
	if err := m.store.Close(); err != nil {
		t.Fatal(err)
	}
}

// What a daemon has taken note of is written when it ends, and of what nobody asks for any more
// nothing stays.
func TestStoredMemoryFlushes(t *testing.T) {
	s, err := store.Open(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	open := func() *Stored {
		m, err := OpenMemory(s, "fairway", func(error) {})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := open()
	m.Save("web", []string{"id-a", "id-b", "id-c"}, true)
	m.Save("gone", []string{"id-a"}, true)
	m = open()
	run(t, func(x *fixture) {
		x.Memory = m
		x.Load([]*model.Service{svc("web", checkedBy("a", "c"))}, []Member{box("a", 1), box("b", 2), box("c", 3)})
		x.Begin(x.ctx)
		x.RemoveMember(x.ctx, "id-c")
	})
	m = open()
	for id, want := range map[string]bool{"web/id-a": true, "web/id-b": false, "web/id-c": false, "gone/id-a": false} {
		of, backend, _ := strings.Cut(id, "/")
		if m.Healthy(of, backend) != want {
			t.Errorf("%s: healthy is %t", id, !want)
		}
	}
}

// What couldn't be written is, though nothing changes any more.
func TestStoredMemoryWritesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "state.db")
		s, err := store.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := OpenMemory(s, "fairway", func(error) {})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		m.Save("web", []string{"a"}, true)
		if m.store, err = store.Open(path); err != nil {
			t.Fatal(err)
		}
		defer m.store.Close()
		time.Sleep(2 * writeAgain)
		synctest.Wait()
		if m, err = OpenMemory(m.store, "fairway", func(error) {}); err != nil || !m.Healthy("web", "a") {
			t.Errorf("not written, %v", err)
		}
	})
}
