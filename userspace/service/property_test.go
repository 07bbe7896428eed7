// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
)

// step is one event of a history.
type step struct {
	what    string
	service int
	box     int
	// variant is what the service or the sandbox is then.
	variant int
	pass    time.Duration
}

const (
	propServices, propBoxes, propVariants = 3, 5, 4
	propDrain                             = 10 * time.Second
)

// TestHistories runs random histories of services, sandboxes, time, refusals and crashes,
// and compares after each event what the datapath has with a model that looks at everything
// anew: nobody is missing, nobody is too much, nobody drains too long or too short.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{
				what:    rapid.SampledFrom([]string{"put", "put", "remove", "box", "box", "end", "stop", "pass", "refuse", "crash"}).Draw(rt, "what"),
				service: rapid.IntRange(0, propServices-1).Draw(rt, "service"), box: rapid.IntRange(0, propBoxes-1).Draw(rt, "box"),
				variant: rapid.IntRange(0, propVariants-1).Draw(rt, "variant"),
				pass:    time.Duration(rapid.IntRange(1, 12).Draw(rt, "seconds")) * time.Second,
			}
		}), 1, 40).Draw(rt, "steps")
		var err error
		synctest.Test(t, func(t *testing.T) { err = runHistory(t.Context(), steps) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// history is a Manager with a model of what it should say.
type history struct {
	ctx      context.Context
	m        *Manager
	owner    *wish
	services map[string]*model.Service
	boxes    map[string]Member
	// leaving are the backends that have left a service, by service and sandbox, and until
	// when they drain.
	leaving map[[2]string]time.Time
	before  map[string]map[string]bool
}

func runHistory(ctx context.Context, steps []step) error {
	h := &history{ctx: ctx, services: map[string]*model.Service{}, boxes: map[string]Member{}, leaving: map[[2]string]time.Time{}, before: map[string]map[string]bool{}}
	h.owner = &wish{said: map[string][]datapath.Service{}, expected: map[string]datapath.Service{}, mends: map[string]func(context.Context) error{}}
	h.m = New(Config{Owner: h.owner})
	defer func() { h.m.Close() }()
	h.m.Begin(ctx)
	for i, s := range steps {
		h.do(s)
		synctest.Wait()
		h.note()
		if err := h.check(); err != nil {
			return fmt.Errorf("after step %d of %+v: %w", i, steps[:i+1], err)
		}
	}
	return nil
}

// serviceIn is a service in one of its variants.
func serviceIn(i, variant int) *model.Service {
	return svc(fmt.Sprint("s", i), func(s *model.Service) {
		s.Drain = propDrain
		switch variant {
		case 0:
			selecting("app", fmt.Sprint(i%2))(s)
		case 1:
			named("box0", "box1")(s)
		case 2:
			named("box1", "box2", "box3")(s)
			s.Drained = []string{"id-box2"}
		case 3:
			selecting("tier", "front")(s)
		}
	})
}

// boxIn is a sandbox in one of its variants: labels, and networks that it is in.
func boxIn(i, variant int) Member {
	mb := box(fmt.Sprint("box", i), byte(10+i), fmt.Sprint("app=", variant%2), "tier=front")
	if variant == 3 {
		mb.Endpoints[0].NetworkID = "elsewhere"
	}
	return mb
}

// setBox says what a sandbox is now: one that is being stopped goes on being so.
func (h *history) setBox(name string, mb Member) {
	h.m.SetMember(h.ctx, mb)
	mb.Leaving = h.boxes[name].Leaving
	h.boxes[name] = mb
}

func (h *history) do(s step) {
	service, name := fmt.Sprint("s", s.service), fmt.Sprint("id-box", s.box)
	switch s.what {
	case "put":
		h.services[service] = serviceIn(s.service, s.variant)
		_ = h.m.Put(h.ctx, h.services[service])
	case "remove":
		_ = h.m.Remove(h.ctx, service)
		delete(h.services, service)
	case "box":
		h.setBox(name, boxIn(s.box, s.variant))
	case "end":
		delete(h.boxes, name)
		h.m.RemoveMember(h.ctx, name)
	case "stop":
		if mb, runs := h.boxes[name]; runs {
			mb.Leaving = true
			h.boxes[name] = mb
		}
		h.m.Leaving(h.ctx, name, true)
	case "pass":
		time.Sleep(s.pass)
	case "refuse":
		// Refused, and said again before anybody looks.
		h.owner.mu.Lock()
		h.owner.refuse = true
		h.owner.mu.Unlock()
		h.setBox(name, boxIn(s.box, s.variant))
		h.mend()
	case "crash":
		h.crash()
	}
}

func (h *history) mend() {
	h.owner.mu.Lock()
	h.owner.refuse = false
	again := slices.Collect(maps.Values(h.owner.mends))
	clear(h.owner.mends)
	h.owner.mu.Unlock()
	for _, f := range again {
		_ = f(h.ctx)
	}
}

// crash begins again with what is stored. Who drains is forgotten; its flows go on.
func (h *history) crash() {
	h.m.Close()
	clear(h.leaving)
	clear(h.before)
	h.m = New(Config{Owner: h.owner})
	var members []Member
	for _, mb := range h.boxes {
		// That a sandbox is being stopped isn't stored.
		mb.Leaving = false
		h.boxes[mb.ID] = mb
		members = append(members, mb)
	}
	h.m.Load(slices.Collect(maps.Values(h.services)), members)
	h.m.Begin(h.ctx)
}

// asked are the sandboxes that a service asks for.
func (h *history) asked(s *model.Service) map[string]bool {
	all := make(map[string]bool)
	for id, mb := range h.boxes {
		byName := slices.ContainsFunc(s.Backends, func(b model.ServiceBackend) bool { return b.Name == mb.Name })
		if byName || policy.Selects(s.Selector, mb.Labels) {
			all[id] = true
		}
	}
	return all
}

// note finds out who has left which service.
func (h *history) note() {
	for key, until := range h.leaving {
		_, runs := h.boxes[key[1]]
		if s := h.services[key[0]]; s == nil || !runs || h.asked(s)[key[1]] || !time.Now().Before(until) {
			delete(h.leaving, key)
		}
	}
	now := make(map[string]map[string]bool)
	for id, s := range h.services {
		now[id] = h.asked(s)
		for was := range h.before[id] {
			if _, runs := h.boxes[was]; runs && !now[id][was] {
				h.leaving[[2]string{id, was}] = time.Now().Add(propDrain)
			}
		}
	}
	h.before = now
}

// check compares what was said last with what should have been.
func (h *history) check() error {
	var errs []error
	for id, s := range h.services {
		want := make(map[netip.AddrPort]model.BackendState)
		for box, mb := range h.boxes {
			_, leaves := h.leaving[[2]string{id, box}]
			asked := h.asked(s)[box]
			if !asked && !leaves || mb.Endpoints[0].NetworkID != "front" {
				continue
			}
			state := model.BackendActive
			if leaves || mb.Leaving || slices.Contains(s.Drained, box) {
				state = model.BackendDraining
			}
			want[netip.AddrPortFrom(mb.Endpoints[0].IPv4, 80)] = state
		}
		have := make(map[netip.AddrPort]model.BackendState)
		said := h.owner.said[id]
		for _, b := range said[len(said)-1].Pools[0].Backends {
			have[b.Target] = b.State
		}
		if !maps.Equal(want, have) {
			errs = append(errs, fmt.Errorf("service %s: want %v, have %v", id, want, have))
		}
	}
	return errors.Join(errs...)
}
