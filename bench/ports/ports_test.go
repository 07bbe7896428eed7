// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"os"
	"testing"
	"time"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/plan/plantest"
	"github.com/fairway-project/fairway/bench/step"
	"github.com/fairway-project/fairway/test/root"
)

func TestMain(m *testing.M) {
	load.Init(os.Args)
	step.Init(os.Args)
	os.Exit(root.Main(m))
}

// some ports are enough to be one of many: no arm treats more in another way.
const some = 20

// run runs a slice of a case on an arm, which is at least one operation.
func run(t *testing.T, env plan.Env, arm plan.Arm, c plan.Case) []plan.Sample {
	t.Helper()
	c.Workload = Workload().Name()
	return plantest.Run(t, Workload(), env, plan.Subject{Case: c, Arm: arm}, 20*time.Millisecond, 1)
}

func TestConnectToOneOfMany(t *testing.T) {
	for _, arm := range fairways() {
		t.Run(string(arm), func(t *testing.T) {
			for _, s := range run(t, plantest.Env(t), arm, crrCase(some, last)) {
				if s.Latency == nil || s.Latency.TotalCount() == 0 {
					t.Error("no time of a SYN")
				}
			}
		})
	}
	t.Run(string(plan.DockerNoProxy), func(t *testing.T) {
		run(t, plantest.Env(t), plan.DockerNoProxy, crrCase(3, first))
	})
}

func TestPublish(t *testing.T) {
	for _, arm := range fairways() {
		t.Run(string(arm), func(t *testing.T) { run(t, plantest.Env(t), arm, publishCase(2, some)) })
	}
}

func TestStart(t *testing.T) {
	for _, arm := range []plan.Arm{plan.EBPF, plan.IPTables} {
		t.Run(string(arm), func(t *testing.T) { run(t, plantest.WithFairway(t), arm, startCase(some)) })
	}
}

func TestPosition(t *testing.T) {
	for _, tt := range []struct {
		at   string
		n    int
		want int
	}{{first, 1, 0}, {middle, 1, 0}, {last, 1, 0}, {first, 10, 0}, {middle, 10, 5}, {last, 10, 9}} {
		if got := position(tt.at, tt.n); got != tt.want {
			t.Errorf("%s of %d is %d, want %d", tt.at, tt.n, got, tt.want)
		}
	}
}

func TestCases(t *testing.T) {
	w := workload{}
	few, all := 0, 0
	for _, c := range w.Cases(plan.Selection{Arms: w.Arms()}) {
		if c.On(plan.Docker) {
			few = max(few, number(c, keyPorts))
		}
		if len(c.Metrics) == 0 || c.Group == "" && c.Value(keyOp) != opStart {
			t.Errorf("%s: %+v", c.Name(), c)
		}
	}
	for _, c := range w.Cases(plan.Selection{Arms: []plan.Arm{plan.Docker}}) {
		if c.On(plan.Docker) {
			all = max(all, number(c, keyPorts))
		}
	}
	if few != dockerFew || all != dockerMany {
		t.Errorf("docker has up to %d ports, and up to %d if asked for, want %d and %d", few, all, dockerFew, dockerMany)
	}
	if n := len(w.Cases(plan.Selection{Short: true})); n > 0 {
		t.Errorf("%d cases in bench-check", n)
	}
}
