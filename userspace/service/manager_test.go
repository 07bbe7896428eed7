// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/health"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
)

var errRefused = errors.New("no room")

// wish is an Owner that remembers.
type wish struct {
	mu       sync.Mutex
	said     map[string][]datapath.Service
	expected map[string]datapath.Service
	deleted  []string
	refuse   bool
	mends    map[string]func(context.Context) error
}

func (w *wish) ExpectService(s datapath.Service) { w.expected[s.ID] = s }

func (w *wish) PutService(_ context.Context, s datapath.Service) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse {
		return errRefused
	}
	w.said[s.ID] = append(w.said[s.ID], s)
	return nil
}

func (w *wish) DeleteService(_ context.Context, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse {
		return errRefused
	}
	w.deleted = append(w.deleted, id)
	return nil
}

func (w *wish) Mend(_ context.Context, subject string, f func(context.Context) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mends[subject] = f
	return errRefused
}

func (w *wish) Report(subject string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		delete(w.mends, subject)
	}
}

// times is how often a service was said.
func (w *wish) times(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.said[id])
}

// pool is the last that was said of a service's first pool: targets with their states.
func (w *wish) pool(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.said[id]) == 0 {
		return "never said"
	}
	return poolText(w.said[id][len(w.said[id])-1])
}

func poolText(s datapath.Service) string {
	var texts []string
	for _, b := range s.Pools[0].Backends {
		text := b.Target.Addr().String()
		if b.State != model.BackendActive {
			text += " " + string(b.State)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// fixture is a Manager of which the test is the owner.
type fixture struct {
	*Manager
	t     *testing.T
	owner *wish
	ctx   context.Context
	// failing are the addresses that don't answer checks.
	mu      sync.Mutex
	failing map[netip.Addr]bool
}

// run runs f with a Manager in a bubble.
func run(t *testing.T, f func(*fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		x := newFixture(t)
		defer x.Close()
		f(x)
	})
}

func newFixture(t *testing.T) *fixture {
	x := &fixture{t: t, ctx: t.Context(), failing: make(map[netip.Addr]bool)}
	x.owner = &wish{
		said: make(map[string][]datapath.Service), expected: make(map[string]datapath.Service), mends: make(map[string]func(context.Context) error),
	}
	x.Manager = New(Config{Owner: x.owner, Probe: func(_ context.Context, t health.Target) error {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.failing[t.Addr.Addr()] {
			return errRefused
		}
		return nil
	}})
	return x
}

func (x *fixture) fail(addr string, fails bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.failing[netip.MustParseAddr(addr)] = fails
}

// want waits for what is under way and compares the pool.
func (x *fixture) want(id, pool string) {
	x.t.Helper()
	synctest.Wait()
	if have := x.owner.pool(id); have != pool {
		x.t.Errorf("%s: want %q, have %q", id, pool, have)
	}
}

func (x *fixture) put(s *model.Service) {
	x.t.Helper()
	if err := x.Put(x.ctx, s); err != nil {
		x.t.Error(err)
	}
}

// svc has a VIP in the network front.
func svc(id string, change func(*model.Service)) *model.Service {
	s := &model.Service{
		ID: id, Name: id, EndpointMode: model.EndpointModeVIP, Drain: 10 * time.Second,
		Networks: []model.ServiceNetwork{{NetworkID: "front", IPv4: netip.MustParseAddr("10.0.9.9")}},
		Ports:    []model.ServicePort{{Port: model.Port{Num: 80, Proto: model.TCP}, Target: 80}},
	}
	change(s)
	return s
}

func named(names ...string) func(*model.Service) {
	return func(s *model.Service) {
		s.Backends = nil
		for _, n := range names {
			s.Backends = append(s.Backends, model.ServiceBackend{Name: n, Weight: 1})
		}
	}
}

func selecting(key, value string) func(*model.Service) {
	return func(s *model.Service) { s.Selector = map[string]string{key: value} }
}

// box is a sandbox on network front with the last byte of its address.
func box(name string, last byte, labels ...string) Member {
	mb := Member{ID: "id-" + name, Name: name, Labels: make(map[string]string), Endpoints: []policy.Reach{{
		EndpointID: "ep-" + name, NetworkID: "front", IPv4: netip.AddrFrom4([4]byte{10, 0, 0, last}),
	}}}
	for _, l := range labels {
		key, value, _ := strings.Cut(l, "=")
		mb.Labels[key] = value
	}
	return mb
}

func TestBackendsComeAndGo(t *testing.T) {
	run(t, func(x *fixture) {
		x.Begin(x.ctx)
		x.put(svc("byname", named("a", "b")))
		x.put(svc("bylabel", selecting("app", "web")))
		x.want("byname", "")
		x.SetMember(x.ctx, box("a", 1, "app=web"))
		x.SetMember(x.ctx, box("c", 3, "app=db"))
		x.want("byname", "10.0.0.1")
		x.want("bylabel", "10.0.0.1")
		x.SetMember(x.ctx, box("b", 2, "app=web"))
		x.want("byname", "10.0.0.1, 10.0.0.2")
		x.want("bylabel", "10.0.0.1, 10.0.0.2")
		x.RemoveMember(x.ctx, "id-a")
		x.want("byname", "10.0.0.2")
		x.want("bylabel", "10.0.0.2")
		// One that takes the name of another is the backend.
		other := box("a", 7)
		other.ID, other.Endpoints[0].EndpointID = "id-another", "ep-another"
		x.SetMember(x.ctx, other)
		x.want("byname", "10.0.0.2, 10.0.0.7")
	})
}

// TestOnlyConcernedServicesAreSaid counts what a sandbox costs that others don't ask for.
func TestOnlyConcernedServicesAreSaid(t *testing.T) {
	run(t, func(x *fixture) {
		x.Begin(x.ctx)
		for i := range 50 {
			x.put(svc(fmt.Sprint("s", i), selecting("app", fmt.Sprint(i))))
		}
		x.SetMember(x.ctx, box("a", 1, "app=7"))
		x.SetMember(x.ctx, box("a", 1, "app=7"))
		for i := range 50 {
			want := 1
			if i == 7 {
				want = 2
			}
			if have := x.owner.times(fmt.Sprint("s", i)); have != want {
				t.Errorf("service %d was said %d times, want %d", i, have, want)
			}
		}
	})
}

// TestNothingIsSaidBeforeBegin is a restart: what is expected is what is said then.
func TestNothingIsSaidBeforeBegin(t *testing.T) {
	run(t, func(x *fixture) {
		checked := svc("checked", named("a", "b"))
		checked.Health = model.Health{Kind: model.HealthTCP, Interval: time.Second, Timeout: time.Second, Rise: 2, Fall: 2}
		x.Memory = newRecall("checked/id-a")
		x.Load([]*model.Service{svc("plain", selecting("app", "web")), checked}, []Member{box("a", 1, "app=web"), box("b", 2)})
		x.SetMember(x.ctx, box("a", 1, "app=web"))
		if n := x.owner.times("plain"); n != 0 {
			t.Errorf("said %d times before all is known", n)
		}
		if have := poolText(x.owner.expected["checked"]); have != "10.0.0.1, 10.0.0.2 down" {
			t.Errorf("expected is %q", have)
		}
		x.Begin(x.ctx)
		x.want("plain", "10.0.0.1")
		x.want("checked", "10.0.0.1, 10.0.0.2 down")
	})
}

func TestBackendsThatLeaveDrain(t *testing.T) {
	run(t, func(x *fixture) {
		x.Begin(x.ctx)
		x.SetMember(x.ctx, box("a", 1))
		x.SetMember(x.ctx, box("b", 2))
		x.put(svc("web", named("a", "b")))
		x.put(svc("web", named("b")))
		x.want("web", "10.0.0.1 draining, 10.0.0.2")
		time.Sleep(9 * time.Second)
		x.want("web", "10.0.0.1 draining, 10.0.0.2")
		time.Sleep(2 * time.Second)
		x.want("web", "10.0.0.2")
		said := x.owner.said["web"]
		if down := poolText(said[len(said)-2]); down != "10.0.0.1 down, 10.0.0.2" {
			t.Errorf("its flows weren't ended: %q", down)
		}
		// One that comes back within its time stays.
		x.put(svc("web", named("a")))
		x.put(svc("web", named("a", "b")))
		time.Sleep(time.Minute)
		x.want("web", "10.0.0.1, 10.0.0.2")
		// One whose sandbox ends while it drains is gone with it.
		x.put(svc("web", named("a")))
		x.RemoveMember(x.ctx, "id-b")
		x.want("web", "10.0.0.1")
		time.Sleep(time.Minute)
		x.want("web", "10.0.0.1")
	})
}

func TestWithoutDrainFlowsEndAtOnce(t *testing.T) {
	run(t, func(x *fixture) {
		x.Begin(x.ctx)
		at := func(names ...string) *model.Service {
			return svc("web", func(s *model.Service) { named(names...)(s); s.Drain = 0 })
		}
		x.SetMember(x.ctx, box("a", 1))
		x.put(at("a"))
		x.put(at())
		x.want("web", "")
		said := x.owner.said["web"]
		if len(said) < 3 || poolText(said[1]) != "10.0.0.1 down" {
			t.Errorf("said %d times: %v", len(said), said)
		}
	})
}

func TestStates(t *testing.T) {
	run(t, func(x *fixture) {
		x.Begin(x.ctx)
		x.SetMember(x.ctx, box("a", 1))
		x.SetMember(x.ctx, box("b", 2))
		x.put(svc("web", func(s *model.Service) { named("a", "b")(s); s.Drained = []string{"id-a"} }))
		x.want("web", "10.0.0.1 draining, 10.0.0.2")
		x.Leaving(x.ctx, "id-b", true)
		x.want("web", "10.0.0.1 draining, 10.0.0.2 draining")
		x.Leaving(x.ctx, "id-b", false)
		x.put(svc("web", named("a", "b")))
		x.want("web", "10.0.0.1, 10.0.0.2")
	})
}

func TestHealth(t *testing.T) {
	run(t, func(x *fixture) {
		x.Begin(x.ctx)
		x.fail("10.0.0.2", true)
		x.SetMember(x.ctx, box("a", 1))
		x.SetMember(x.ctx, box("b", 2))
		checked := func(s *model.Service) {
			named("a", "b")(s)
			s.Health = model.Health{Kind: model.HealthTCP, Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 2}
		}
		x.put(svc("web", checked))
		if first := poolText(x.owner.said["web"][0]); first != "10.0.0.1 down, 10.0.0.2 down" {
			t.Errorf("before the first check: %q", first)
		}
		time.Sleep(5 * time.Second)
		x.want("web", "10.0.0.1, 10.0.0.2 down")
		x.fail("10.0.0.2", false)
		x.fail("10.0.0.1", true)
		time.Sleep(10 * time.Second)
		x.want("web", "10.0.0.1 down, 10.0.0.2")
		backends, _ := x.Backends("web")
		if len(backends) != 2 || backends[0].State != model.BackendDown || !strings.Contains(backends[0].Reason, errRefused.Error()) {
			t.Errorf("shown as %+v", backends)
		}
		// Without checks all serve.
		x.put(svc("web", named("a", "b")))
		x.want("web", "10.0.0.1, 10.0.0.2")
	})
}

// A backend that fails for another reason than before is shown with that, and nobody else is
// bothered with it.
func TestAnotherReasonIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newFixture(t)
		x.Close()
		var mu sync.Mutex
		var probes, changes int
		x.Manager = New(Config{
			Owner: x.owner, Changed: func(string) { mu.Lock(); defer mu.Unlock(); changes++ },
			Probe: func(context.Context, health.Target) error {
				mu.Lock()
				defer mu.Unlock()
				probes++
				return fmt.Errorf("answer %d", probes)
			},
		})
		defer x.Close()
		x.Begin(x.ctx)
		x.SetMember(x.ctx, box("a", 1))
		x.put(svc("web", func(s *model.Service) {
			named("a")(s)
			s.Health = model.Health{Kind: model.HealthTCP, Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 1}
		}))
		mu.Lock()
		before := changes
		mu.Unlock()
		time.Sleep(time.Minute)
		backends, _ := x.Backends("web")
		mu.Lock()
		defer mu.Unlock()
		if changes != before || probes < 50 {
			t.Errorf("%d changes after %d checks, %d before them", changes, probes, before)
		}
		if want := fmt.Sprintf("answer %d", probes); len(backends) != 1 || backends[0].Reason != want {
			t.Errorf("shown as %+v, want %q", backends, want)
		}
	})
}

func TestRefusals(t *testing.T) {
	run(t, func(x *fixture) {
		x.Begin(x.ctx)
		x.owner.refuse = true
		if err := x.Put(x.ctx, svc("web", named("a"))); !errors.Is(err, errRefused) {
			t.Errorf("the answer isn't the datapath's: %v", err)
		}
		x.SetMember(x.ctx, box("a", 1))
		again := x.owner.mends[Subject(svc("web", named()))]
		if again == nil {
			t.Fatal("what was refused after an event isn't tried again")
		}
		if err := x.Remove(x.ctx, "web"); !errors.Is(err, errRefused) {
			t.Errorf("removed all the same: %v", err)
		}
		x.owner.refuse = false
		if err := again(x.ctx); err != nil {
			t.Error(err)
		}
		x.want("web", "10.0.0.1")
		if err := x.Remove(x.ctx, "web"); err != nil || !slices.Equal(x.owner.deleted, []string{"web"}) {
			t.Errorf("%v %v", err, x.owner.deleted)
		}
		x.SetMember(x.ctx, box("a", 2))
		x.want("web", "10.0.0.1")
		if err := again(x.ctx); err != nil || x.owner.times("web") != 1 {
			t.Errorf("said after its end: %v", err)
		}
	})
}

func TestWhatIsShown(t *testing.T) {
	run(t, func(x *fixture) {
		x.Begin(x.ctx)
		x.put(svc("byname", func(s *model.Service) {
			named("a", "b", "c")(s)
			s.Backends = append(s.Backends, model.ServiceBackend{Addr: netip.MustParseAddr("192.0.2.1"), Port: 81, Weight: 9})
		}))
		x.put(svc("bylabel", selecting("app", "web")))
		x.put(svc("nobody", named()))
		x.SetMember(x.ctx, box("a", 1))
		elsewhere := box("b", 2)
		elsewhere.Endpoints[0].NetworkID = "other"
		x.SetMember(x.ctx, elsewhere)
		var texts []string
		backends, warnings := x.Backends("byname")
		for _, b := range backends {
			texts = append(texts, strings.TrimSpace(fmt.Sprint(b.Name, b.IPv4, b.Weight, " ", b.State, " ", b.Reason)))
		}
		want := []string{
			"192.0.2.1 9 active", "a10.0.0.1 1 active",
			"binvalid IP 1 down is in none of the service's networks", "cinvalid IP 1 down no sandbox of this name runs",
		}
		if !slices.Equal(texts, want) || len(warnings) != 2 {
			t.Errorf("%q, %q", texts, warnings)
		}
		for id, want := range map[string]string{"bylabel": "selector app=web: no sandbox that runs has these labels", "nobody": "no backends are named, and there is no selector"} {
			if _, warnings := x.Backends(id); !slices.Equal(warnings, []string{want}) {
				t.Errorf("%s: %q", id, warnings)
			}
		}
	})
}

// TestTroublesOfOneName are those of services in different networks.
func TestTroublesOfOneName(t *testing.T) {
	run(t, func(x *fixture) {
		x.Begin(x.ctx)
		twin := func(id string, backend string) *model.Service {
			return svc(id, func(s *model.Service) { s.Name = "web"; named(backend)(s) })
		}
		x.put(twin("1", "a"))
		x.put(twin("2", "b"))
		x.owner.refuse = true
		x.SetMember(x.ctx, box("a", 1))
		x.owner.refuse = false
		x.SetMember(x.ctx, box("b", 2))
		if len(x.owner.mends) != 1 {
			t.Fatalf("%d troubles, want that of the one that was refused", len(x.owner.mends))
		}
		for _, again := range x.owner.mends {
			if err := again(x.ctx); err != nil {
				t.Error(err)
			}
		}
		x.want("1", "10.0.0.1")
	})
}

// TestRefusedChange is put back: what was told before is told again.
func TestRefusedChange(t *testing.T) {
	run(t, func(x *fixture) {
		x.Begin(x.ctx)
		x.SetMember(x.ctx, box("a", 1))
		x.put(svc("web", named("a")))
		x.owner.refuse = true
		if err := x.Put(x.ctx, svc("web", func(s *model.Service) { named("a")(s); s.Passive = new(bool) })); !errors.Is(err, errRefused) {
			t.Errorf("%v", err)
		}
		x.owner.refuse = false
		x.put(svc("web", named("a")))
		if n := x.owner.times("web"); n != 2 {
			t.Errorf("said %d times, want once more after the refusal", n)
		}
	})
}

// TestEndThatIsRefused is told again: a backend isn't gone before its flows have ended.
func TestEndThatIsRefused(t *testing.T) {
	run(t, func(x *fixture) {
		x.Begin(x.ctx)
		x.SetMember(x.ctx, box("a", 1))
		x.put(svc("web", named("a")))
		x.put(svc("web", named()))
		x.owner.refuse = true
		time.Sleep(time.Minute)
		x.owner.refuse = false
		again := x.owner.mends[Subject(svc("web", named()))]
		if again == nil {
			t.Fatal("what was refused isn't tried again")
		}
		if err := again(x.ctx); err != nil {
			t.Error(err)
		}
		x.want("web", "")
		said := x.owner.said["web"]
		if down := poolText(said[len(said)-2]); down != "10.0.0.1 down" {
			t.Errorf("its flows weren't ended: %q", down)
		}
	})
}
