// SPDX-License-Identifier: Apache-2.0

package wanted

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// The difference is told in an order in which nothing new meets what is to go.
func TestOrder(t *testing.T) {
	k := &kernel{}
	o := owner(t, newState(t, k, time.Hour), model.OwnerDocker, Options{Foreign: true})
	n, m := network("n", "10.1.0.0/16", 1), network("m", "10.2.0.0/16", 2)
	devices := map[int]string{5: "veth5"}
	for _, c := range []struct {
		what string
		all  Whole
		want string
	}{
		{"at first", Whole{
			Networks: map[string]Network{"n": n}, Endpoints: map[string]Endpoint{"a": endpoint("a", "n", 5)},
			Ports: map[string][]datapath.Port{"a": ports(80, 81)}, Devices: devices,
		}, "network n, guard veth5, endpoint a on 5, ports of a [80 81]"},
		{"the same", Whole{
			Networks: map[string]Network{"n": n}, Endpoints: map[string]Endpoint{"a": endpoint("a", "n", 5)},
			Ports: map[string][]datapath.Port{"a": ports(80, 81)}, Devices: devices,
		}, ""},
		{"a port moves", Whole{
			Networks: map[string]Network{"n": n}, Endpoints: map[string]Endpoint{"0": endpoint("0", "n", 6), "a": endpoint("a", "n", 5)},
			Ports: map[string][]datapath.Port{"a": ports(80), "0": ports(81)}, Devices: devices,
		}, "endpoint 0 on 6, ports of a [80], ports of 0 [81]"},
		{"another device", Whole{
			Networks: map[string]Network{"n": n}, Endpoints: map[string]Endpoint{"0": endpoint("0", "n", 6), "a": endpoint("a", "n", 7)},
			Ports: map[string][]datapath.Port{"a": ports(80), "0": ports(81)}, Devices: map[int]string{7: "veth7"},
		}, "no endpoint a, guard veth7, endpoint a on 7, ports of a [80]"},
		{"another network, one without a device", Whole{
			Networks: map[string]Network{"m": m, "w": network("w", "10.3.0.0/16", 0)}, Endpoints: map[string]Endpoint{"0": endpoint("0", "m", 6)},
			Devices: map[int]string{7: "veth7"},
		}, "no endpoint a, no network n, network m, endpoint 0 on 6, ports of 0 []"},
	} {
		o.Set(t.Context(), c.all)
		said(t, k, c.what, c.want)
	}
	if !o.state.Owns("br-w") {
		t.Error("the bridge that is to come counts as an uplink")
	}
}

// What is refused is told as the trouble and said again until it is taken; what rests on
// it waits; troubles go with their cause.
func TestRefused(t *testing.T) {
	k := &kernel{}
	s := newState(t, k, time.Hour)
	o := owner(t, s, model.OwnerDocker, Options{Foreign: true})
	all := Whole{
		Networks:  map[string]Network{"n": network("n", "10.1.0.0/16", 1)},
		Endpoints: map[string]Endpoint{"a": endpoint("a", "n", 5)},
		Ports:     map[string][]datapath.Port{"a": ports(80)},
	}
	k.refuse("network n")
	o.Set(t.Context(), all)
	said(t, k, "refused", "")
	if d := s.Degraded(); len(d) != 1 || d[0] != "docker: network n: no room" {
		t.Errorf("degraded: %q", d)
	}
	o.SaidAll(t.Context(), false)
	if len(k.pruned) != 0 {
		t.Error("leftovers went though something was refused")
	}
	k.refuse()
	eventually(t, "it is taken", func() bool { return len(s.Degraded()) == 0 && len(o.Ports("a")) == 1 })
	said(t, k, "said again", "network n, endpoint a on 5, ports of a [80]")
	eventually(t, "leftovers go", func() bool { k.mu.Lock(); defer k.mu.Unlock(); return len(k.pruned) == 1 })

	k.refuse("ports of a [80 81]")
	all.Ports = map[string][]datapath.Port{"a": ports(80, 81)}
	o.Set(t.Context(), all)
	if got := o.Trouble(PortsSubject("a")); got != "no room" || o.PortTrouble(ports(80)[0].PublishedPort) == "" {
		t.Errorf("trouble of the ports: %q", got)
	}
	o.Set(t.Context(), Whole{Networks: all.Networks})
	if d := s.Degraded(); len(d) != 0 {
		t.Errorf("degraded after the endpoint's end: %q", d)
	}
}

// Leftovers wait for what is pending, and for nobody long.
func TestPatience(t *testing.T) {
	for _, c := range []struct {
		what             string
		pending, refused bool
		patience         time.Duration
		pruned           bool
	}{
		{"nothing is left to do", false, false, time.Hour, true},
		{"something is pending", true, false, time.Hour, false},
		{"something is being mended", false, true, time.Hour, false},
		{"something is pending for too long", true, false, time.Millisecond, true},
		{"something is being mended for too long", false, true, time.Millisecond, true},
	} {
		k := &kernel{}
		o := owner(t, newState(t, k, c.patience), "cni", Options{})
		if c.refused {
			_ = o.Mend(t.Context(), "it", func(context.Context) error { return errRefused })
		}
		pruned := func() bool { k.mu.Lock(); defer k.mu.Unlock(); return len(k.pruned) > 0 }
		o.SaidAll(t.Context(), c.pending)
		if c.pruned {
			eventually(t, c.what, pruned)
		} else if pruned() {
			t.Errorf("%s: leftovers went", c.what)
		}
	}
}

func TestMend(t *testing.T) {
	s := newState(t, &kernel{}, time.Hour)
	o := owner(t, s, "cni", Options{})
	attempts := make(chan error)
	_ = o.Mend(t.Context(), "b", func(context.Context) error { return errors.New("never") })
	done := make(chan error)
	go func() { done <- o.Mend(t.Context(), "a", func(context.Context) error { return <-attempts }) }()
	attempts <- errors.New("not yet")
	if err := <-done; err == nil {
		t.Error("the first attempt is a success")
	}
	if d := strings.Join(s.Degraded(), "; "); d != "cni: a: not yet; cni: b: never" {
		t.Errorf("degraded: %s", d)
	}
	attempts <- errors.New("still not")
	attempts <- nil
	eventually(t, "a is mended", func() bool { return o.Trouble("a") == "" })
	o.Forget(func(subject string) bool { return subject == "b" })
	if d := s.Degraded(); len(d) != 0 {
		t.Errorf("degraded: %q", d)
	}
}

// There is one attempt at a subject at a time. A later mend is done after it, though the
// earlier one succeeds.
func TestMendUnderWay(t *testing.T) {
	s := newState(t, &kernel{}, time.Hour)
	o := owner(t, s, "cni", Options{})
	var inside, most, tried atomic.Int32
	attempt := func() (leave func()) {
		if n := inside.Add(1); n > most.Load() {
			most.Store(n)
		}
		return func() { inside.Add(-1) }
	}
	entered, release := make(chan struct{}), make(chan struct{})
	first := make(chan error)
	go func() {
		first <- o.Mend(t.Context(), "a", func(context.Context) error {
			defer attempt()()
			close(entered)
			<-release
			return nil
		})
	}()
	<-entered
	// The goroutine passes by a while the other subject is tried again and again.
	_ = o.Mend(t.Context(), "b", func(context.Context) error { tried.Add(1); return errRefused })
	eventually(t, "b is tried again", func() bool { return tried.Load() >= 3 })
	var second atomic.Bool
	if err := o.Mend(t.Context(), "a", func(context.Context) error {
		defer attempt()()
		second.Store(true)
		return nil
	}); !errors.Is(err, ErrUnderWay) {
		t.Errorf("the second mend: %v", err)
	}
	s.mu.Lock()
	asked := o.mends["a"]
	s.mu.Unlock()
	var third atomic.Bool
	waited := make(chan error)
	go func() {
		waited <- o.MendNow(t.Context(), "a", func(context.Context) error {
			defer attempt()()
			third.Store(true)
			return nil
		})
	}()
	eventually(t, "the third mend has taken the second's place", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return o.mends["a"] != asked
	})
	close(release)
	if err := <-first; err != nil {
		t.Errorf("the first mend: %v", err)
	}
	if err := <-waited; err != nil || !third.Load() {
		t.Errorf("the third mend: %v, done %v", err, third.Load())
	}
	if second.Load() {
		t.Error("the second mend was done in spite of the third")
	}
	if most.Load() != 1 {
		t.Errorf("%d attempts at once", most.Load())
	}
	eventually(t, "nothing but b is left", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(o.mends) == 1 && len(o.running) <= 1 && o.mends["b"] != nil
	})
	o.Forget(func(subject string) bool { return subject == "b" })
	if err := o.attempt(t.Context(), "b"); err != nil {
		t.Errorf("an attempt at what was forgotten: %v", err)
	}
}
