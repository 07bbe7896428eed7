// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"os"
	"path/filepath"
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

func run(t *testing.T, arm plan.Arm, c plan.Case) []plan.Sample {
	t.Helper()
	c.Workload = Workload().Name()
	return plantest.Run(t, Workload(), plantest.WithFairway(t), plan.Subject{Case: c, Arm: arm}, time.Millisecond, 1)
}

func TestAttach(t *testing.T) {
	for _, arm := range []plan.Arm{plan.EBPF, plan.IPTables} {
		t.Run(string(arm), func(t *testing.T) {
			for _, s := range run(t, arm, attachCase(1)) {
				if s.Latency == nil || uint64(s.Latency.TotalCount()) != s.Ops {
					t.Errorf("%d endpoints, times %v", s.Ops, s.Latency)
				}
			}
		})
	}
}

func TestMemory(t *testing.T) {
	for _, arm := range []plan.Arm{plan.EBPF, plan.IPTables} {
		t.Run(string(arm), func(t *testing.T) {
			for _, s := range run(t, arm, memoryCase(2)) {
				if s.Values[2] < 1<<20 {
					t.Errorf("a daemon of %v B", s.Values[2])
				}
			}
		})
	}
}

func TestCases(t *testing.T) {
	w := workload{}
	for _, c := range w.Cases(plan.Selection{Arms: w.Arms()}) {
		if c.On(plan.IPTablesLegacy) || !c.On(plan.EBPF) || len(c.Metrics) == 0 {
			t.Errorf("%s: %+v", c.Name(), c)
		}
	}
	for _, c := range w.Cases(plan.Selection{Arms: []plan.Arm{plan.IPTablesLegacy}}) {
		if !c.On(plan.IPTablesLegacy) {
			t.Errorf("%s: not on the arm that was asked for", c.Name())
		}
	}
	if n := len(w.Cases(plan.Selection{Short: true})); n > 0 {
		t.Errorf("%d cases in bench-check", n)
	}
}

func TestKilobytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meminfo")
	if err := os.WriteFile(path, []byte("MemTotal: 9 kB\nSlab:      100 kB\nPercpu:  23 kB\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if n, err := kilobytes(path, "Slab", "Percpu"); n != 123 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if _, err := kilobytes(path, "Slab", "None"); err == nil {
		t.Error("no error for a line that isn't there")
	}
}
