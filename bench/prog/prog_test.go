// SPDX-License-Identifier: Apache-2.0

package prog

import (
	"testing"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/plan/plantest"
)

// Every path of every program goes its way, and so does the empty program on the same packets;
// with every table one path of each kind does. To fill tables takes longest: all paths with all
// tables are in the long tests.
func TestEveryCase(t *testing.T) {
	filled := make(map[string]bool)
	everyCase(t, func(c plan.Case) bool {
		kind := string(c.Family) + c.Value("table") + c.Value("flow")
		if c.Value("table") == "empty" {
			return true
		}
		again := filled[kind]
		filled[kind] = true
		return !again
	})
}

// everyCase runs those that want says yes to.
func everyCase(t *testing.T, want func(plan.Case) bool) {
	w := &Workload{}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, c := range w.Cases(plan.Selection{Arms: w.Arms()}) {
		if !want(c) {
			continue
		}
		t.Run(c.Name(), func(t *testing.T) {
			env := plantest.Env(t)
			c.Workload = w.Name()
			for _, arm := range w.Arms() {
				for _, s := range plantest.Run(t, w, env, plan.Subject{Case: c, Arm: arm}, time.Millisecond, 3) {
					if s.Values[0] <= 0 || s.Ops < 1000 {
						t.Errorf("%s: %+v", arm, s)
					}
				}
			}
		})
	}
}

func TestShortIsPartOfAll(t *testing.T) {
	w := &Workload{}
	all := make(map[string]bool)
	for _, c := range w.Cases(plan.Selection{}) {
		all[c.Name()] = true
	}
	short := w.Cases(plan.Selection{Short: true})
	for _, c := range short {
		if !all[c.Name()] {
			t.Errorf("%s: not in the whole list", c.Name())
		}
	}
	if len(short) == 0 || len(short) >= len(all) {
		t.Errorf("%d of %d", len(short), len(all))
	}
	for _, c := range w.Cases(plan.Selection{Families: []plan.Family{plan.IPv6}}) {
		if c.Family != plan.IPv6 {
			t.Errorf("%s: not the family that was asked for", c.Name())
		}
	}
}

// What the counters don't say is an error, not a number.
func TestProofFails(t *testing.T) {
	w := &Workload{}
	defer w.Close()
	c := w.Cases(plan.Selection{Short: true})[0]
	in, err := w.Start(t.Context(), plan.Env{}, plan.Subject{Case: c, Arm: plan.EBPF})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	in.(*instance).sent++
	if _, err := in.Prove(t.Context()); err == nil {
		t.Error("a packet that nobody counted is no error")
	}
	in.(*instance).path.action = 42
	if _, err := in.Slice(t.Context(), time.Millisecond); err == nil {
		t.Error("another action is no error")
	}
}
