// SPDX-License-Identifier: Apache-2.0

package packets

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/plan/plantest"
	"github.com/fairway-project/fairway/bench/world"
	"github.com/fairway-project/fairway/bench/world/worldtest"
	"github.com/fairway-project/fairway/test/root"
	"github.com/fairway-project/fairway/userspace/netns"
)

func TestMain(m *testing.M) {
	load.Init(os.Args)
	os.Exit(root.Main(m))
}

const short = 5 * time.Millisecond

// spreadFlows are more than one address has ports for, and no more than that takes.
const spreadFlows = maxSources + 2

func subject(w plan.Workload, arm plan.Arm, c plan.Case) plan.Subject {
	c.Workload = w.Name()
	return plan.Subject{Case: c, Arm: arm}
}

// place is a world that every case of this package fits into, but for those that want
// connections to expire.
type place struct{ worldtest.Place }

func newPlace(t *testing.T, arm plan.Arm) *place {
	t.Helper()
	o := world.Options{Arm: arm, Containers: containers(), Connections: spreadFlows}
	o.Containers[0].Publish = append(o.Containers[0].Publish, floodPorts()...)
	return &place{worldtest.NewPlace(t, o)}
}

// steady measures established connections.
func (p *place) steady(t *testing.T, w plan.Workload, c plan.Case) {
	t.Run(w.Name()+"/"+c.Name(), func(t *testing.T) {
		p.Forget(t)
		s := subject(w, p.Arm, c)
		i := &steady{world: p.World}
		defer worldtest.Leave(t, i.leave)
		if err := i.enter(t.Context(), p.Env, s); err != nil {
			t.Fatal(err)
		}
		if err := i.lane.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		plantest.Measure(t, i, s, short, 2)
	})
}

// Every arm measures something, and the ones that the comparison is about do it on
// every walk. Which way packets go is in the tests of bench/world.
func TestArms(t *testing.T) {
	for _, arm := range (pps{}).Arms() {
		t.Run(string(arm), func(t *testing.T) {
			p := newPlace(t, arm)
			p.steady(t, pps{}, pps{}.newCase(plan.LANToPublished, plan.IPv4, 1))
			for _, c := range manyOn(arm) {
				p.steady(t, pps{}, c)
			}
			if slices.Contains([]plan.Arm{plan.EBPF, plan.IPTables}, arm) {
				p.flows(t)
			}
			p.floods(t)
			if arm == plan.Route {
				p.lossFailsTheSlice(t)
			}
		})
	}
}

// manyOn are the cases with many connections.
func manyOn(arm plan.Arm) []plan.Case {
	w, many := pps{}, []int{spreadFlows}
	switch arm {
	case plan.XDP:
		return []plan.Case{w.newCase(plan.LANToPublished, plan.IPv6, spreadFlows)}
	case plan.EBPF:
		return w.Cases(plan.Selection{Flows: many})
	case plan.IPTables, plan.Redirect, plan.Lookup:
		return w.Cases(plan.Selection{Flows: many, Families: []plan.Family{plan.IPv4}})
	}
	return nil
}

// A path that loses packets has no figure. The world is of no use afterwards.
func (p *place) lossFailsTheSlice(t *testing.T) {
	t.Run("loss fails the slice", func(t *testing.T) {
		i := &steady{world: p.World}
		defer worldtest.Leave(t, i.leave)
		if err := i.enter(t.Context(), p.Env, subject(pps{}, p.Arm, pps{}.newCase(plan.LANToPublished, plan.IPv4, 1))); err != nil {
			t.Fatal(err)
		}
		if _, err := i.Slice(t.Context(), short); err != nil {
			t.Fatal(err)
		}
		err := netns.Do(i.world.Host(), func() error {
			return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.Slice(t.Context(), short); !errors.Is(err, plan.ErrWrongWay) {
			t.Errorf("slice through a host that doesn't forward: %v", err)
		}
	})
}

// Tuples of a case are all different, and those of the way back are the same ones.
func TestSpread(t *testing.T) {
	for n, want := range map[int]uint32{1: 1, 16: 1, 32768: 1, spreadFlows: 2, 65536: 2, 262144: 8, 524288: 16} {
		if more, err := spread(n); err != nil || more != want {
			t.Errorf("spread of %d: %d, %v", n, more, err)
		}
	}
	for _, n := range []int{0, -1, 524289, 65537} {
		if more, err := spread(n); err == nil {
			t.Errorf("spread of %d: %d", n, more)
		}
	}
}
