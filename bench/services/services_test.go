// SPDX-License-Identifier: Apache-2.0

package services

import (
	"os"
	"testing"
	"time"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/plan/plantest"
	"github.com/fairway-project/fairway/test/root"
)

func TestMain(m *testing.M) {
	load.Init(os.Args)
	os.Exit(root.Main(m))
}

func run(t *testing.T, arm plan.Arm, c plan.Case) plan.Sample {
	t.Helper()
	c.Workload = Workload().Name()
	return plantest.Run(t, Workload(), plantest.WithFairway(t), plan.Subject{Case: c, Arm: arm}, 100*time.Millisecond, 1)[0]
}

// Every arm that this machine can have carries what its name says, by a service's address and
// by its published port.
func TestReach(t *testing.T) {
	for _, arm := range []plan.Arm{plan.EBPF, plan.IPTables, plan.NFTables, plan.HAProxy} {
		for _, c := range []plan.Case{peerCase(opRR, toService), peerCase(opCRR, toService), lanCase(toService, 30)} {
			t.Run(string(arm)+"/"+c.Name(), func(t *testing.T) { run(t, arm, c) })
		}
	}
	for _, c := range []plan.Case{peerCase(opCRR, toContainer), lanCase(toContainer, 0)} {
		t.Run(c.Name(), func(t *testing.T) { run(t, plan.EBPF, c) })
	}
}

func TestFollow(t *testing.T) {
	for _, arm := range fairways() {
		t.Run(string(arm), func(t *testing.T) { run(t, arm, followCase(20)) })
	}
}

func TestReplace(t *testing.T) {
	for _, arm := range fairways() {
		t.Run(string(arm), func(t *testing.T) { run(t, arm, replaceCase(2)) })
	}
}

// A dead backend costs requests: one of two gets half of them until it is known to be dead.
func TestKill(t *testing.T) {
	for _, arm := range fairways() {
		t.Run(string(arm), func(t *testing.T) {
			if s := run(t, arm, killCase(2, healthHTTP)); s.Values[0] == 0 {
				t.Error("nothing was lost")
			}
		})
	}
}

func TestMemory(t *testing.T) {
	s := run(t, plan.EBPF, memoryCase(3, 2))
	for i, v := range s.Values[:4] {
		if v < 1<<20 {
			t.Errorf("figure %d: a daemon of %v B", i, v)
		}
	}
	if made, peak := s.Values[0], s.Values[1]; made > peak {
		t.Errorf("%v B are more than %v B, the most", made, peak)
	}
}

func TestCases(t *testing.T) {
	w := workload{}
	for _, c := range w.Cases(plan.Selection{Arms: w.Arms()}) {
		if !c.On(plan.EBPF) || len(c.Metrics) == 0 {
			t.Errorf("%s: %+v", c.Name(), c)
		}
	}
	for _, c := range w.Cases(plan.Selection{Arms: []plan.Arm{plan.HAProxy}}) {
		if c.On(plan.HAProxy) != (c.Value(keyTo) == toService) {
			t.Errorf("%s: %v", c.Name(), c.Arms)
		}
	}
	if n := len(w.Cases(plan.Selection{Short: true})); n > 0 {
		t.Errorf("%d cases in bench-check", n)
	}
}
