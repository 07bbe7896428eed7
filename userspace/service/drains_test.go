// SPDX-License-Identifier: Apache-2.0

package service

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/store"
)

// Who has left a service drains on when the daemon is started anew, for as long as is left, and
// nothing is remembered afterwards.
func TestDrainsGoOn(t *testing.T) {
	run(t, func(x *fixture) {
		memory := newRecall()
		x.Memory = memory
		x.Begin(x.ctx)
		outside := func(s *model.Service) {
			s.Backends = append(s.Backends, model.ServiceBackend{Addr: netip.MustParseAddr("192.0.2.7"), Weight: 2})
		}
		for i, name := range []string{"a", "b", "c", "d"} {
			x.SetMember(x.ctx, box(name, byte(1+i)))
		}
		x.put(svc("web", func(s *model.Service) { named("a", "b", "c", "d")(s); outside(s) }))
		x.put(svc("gone", named("a", "b")))
		x.put(svc("gone", named("a")))
		now := svc("web", named("a", "d"))
		x.put(svc("web", named("a")))
		x.want("web", "10.0.0.1, 10.0.0.2 draining, 10.0.0.3 draining, 10.0.0.4 draining, 192.0.2.7 draining")
		time.Sleep(4 * time.Second)

		// Meanwhile c has ended, and d is the service's again.
		next := newFixture(t)
		defer next.Close()
		next.Memory = memory
		next.Load([]*model.Service{now}, []Member{box("a", 1), box("b", 2), box("d", 4)})
		if got := poolText(next.owner.expected["web"]); got != "10.0.0.1, 10.0.0.2 draining, 10.0.0.4, 192.0.2.7 draining" {
			t.Errorf("expected by the next daemon: %s", got)
		}
		next.Begin(next.ctx)
		next.want("web", "10.0.0.1, 10.0.0.2 draining, 10.0.0.4, 192.0.2.7 draining")
		time.Sleep(5 * time.Second)
		next.want("web", "10.0.0.1, 10.0.0.2 draining, 10.0.0.4, 192.0.2.7 draining")
		time.Sleep(2 * time.Second)
		next.want("web", "10.0.0.1, 10.0.0.4")
		if len(memory.drains) != 0 {
			t.Errorf("remembered: %+v", memory.drains)
		}
	})
}

// Time that has passed while no daemon ran counts.
func TestDrainsEnd(t *testing.T) {
	run(t, func(x *fixture) {
		memory := newRecall()
		memory.drains["web"] = Drains{"id-b": {Backend: model.ServiceBackend{Name: "b", Weight: 1}, Until: time.Now()}}
		x.Memory = memory
		x.Load([]*model.Service{svc("web", named("a"))}, []Member{box("a", 1), box("b", 2)})
		x.Begin(x.ctx)
		x.want("web", "10.0.0.1")
		if len(memory.drains) != 0 {
			t.Errorf("remembered: %+v", memory.drains)
		}
	})
}

func TestStoredDrains(t *testing.T) {
	s, err := store.Open(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	open := func(owner string) *Stored {
		m, err := OpenMemory(s, owner, func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	d := Drains{"192.0.2.7": {Backend: model.ServiceBackend{Addr: netip.MustParseAddr("192.0.2.7"), Port: 81, Weight: 2}, Until: time.Now().Add(time.Hour)}}
	for _, want := range []Drains{d, nil} {
		if err := open("fairway").SaveDrains("web", want); err != nil {
			t.Fatal(err)
		}
		got := open("fairway").Drains()["web"]
		if len(got) != len(want) || want != nil && !got["192.0.2.7"].equal(want["192.0.2.7"]) {
			t.Errorf("stored: %+v, want %+v", got, want)
		}
		if others := open("docker").Drains(); len(others) != 0 {
			t.Errorf("of another owner: %+v", others)
		}
	}
}
