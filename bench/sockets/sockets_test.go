// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/plan/plantest"
)

func TestMain(m *testing.M) {
	load.Init(os.Args)
	os.Exit(m.Run())
}

// slice is long enough for a transaction though everything else runs, too.
const slice = 400 * time.Millisecond

func of(t *testing.T, k load.Kind) workload {
	t.Helper()
	for _, w := range Workloads() {
		if w.Name() == string(k) {
			return w.(workload)
		}
	}
	t.Fatalf("no workload %s", k)
	return workload{}
}

// run runs a slice of a case on an arm, with what the workload adds to it.
func run(t *testing.T, k load.Kind, arm plan.Arm, c plan.Case) []plan.Sample {
	t.Helper()
	w := of(t, k)
	c.Workload = w.Name()
	w.finish(&c)
	return plantest.Run(t, w, plantest.WithFairway(t), plan.Subject{Case: c, Arm: arm}, slice, 1)
}

func TestEveryKindOnArms(t *testing.T) {
	for _, k := range load.Kinds() {
		for _, arm := range append(of(t, k).vethXDP(), plan.EBPF, plan.IPTables, plan.Redirect, plan.Veth) {
			t.Run(fmt.Sprintf("%s/%s", k, arm), func(t *testing.T) {
				run(t, k, arm, plan.Case{Walk: plan.LANToPublished, Family: plan.IPv4, Flows: 16})
			})
		}
	}
}

func TestEveryWalk(t *testing.T) {
	for _, walk := range walks() {
		for _, family := range []plan.Family{plan.IPv4, plan.IPv6} {
			for _, k := range []load.Kind{load.CRR, load.UDPRR} {
				t.Run(fmt.Sprintf("%s/%s/%s", walk, family, k), func(t *testing.T) {
					run(t, k, plan.EBPF, plan.Case{Walk: walk, Family: family, Flows: 1})
				})
			}
		}
	}
}

// Translated TCP is carried with all its offloads.
func TestRedirectCarriesTCP(t *testing.T) {
	for _, walk := range []plan.Walk{plan.LANToPublished, plan.ContainerToLAN, plan.ContainerToContainer} {
		for _, family := range []plan.Family{plan.IPv4, plan.IPv6} {
			for _, k := range []load.Kind{load.CRR, load.Stream} {
				t.Run(fmt.Sprintf("%s/%s/%s", walk, family, k), func(t *testing.T) {
					run(t, k, plan.Redirect, plan.Case{Walk: walk, Family: family, Flows: 1})
				})
			}
		}
	}
}

func TestOpenLoopHasLatencies(t *testing.T) {
	for _, s := range run(t, load.RR, plan.EBPF, plan.Case{
		Walk: plan.LANToPublished, Family: plan.IPv4, Flows: openFlows, Params: []plan.Param{{Key: keyLoad, Value: "50"}},
	}) {
		if s.Latency == nil || s.Latency.TotalCount() != int64(s.Ops) {
			t.Errorf("%d operations, latencies %v", s.Ops, s.Latency)
		}
	}
}

func TestClientAndServerOnTwoCPUs(t *testing.T) {
	run(t, load.RR, plan.Veth, plan.Case{
		Walk: plan.LANToPublished, Family: plan.IPv4, Flows: 1, Params: []plan.Param{{Key: keyCPU, Value: split}},
	})
}

func TestTools(t *testing.T) {
	for _, k := range load.Kinds() {
		t.Run(string(k), func(t *testing.T) { run(t, k, plan.EBPF, of(t, k).checks()[0]) })
	}
}

func TestCases(t *testing.T) {
	for _, plain := range Workloads() {
		w := plain.(workload)
		star := w.Cases(plan.Selection{Arms: w.Arms()})
		checkCases(t, w, star)
		middle := star[0]
		if len(middle.Arms) != len(w.Arms()) || middle.Walk != plan.LANToPublished || middle.Flows != 1 {
			t.Errorf("%s: the middle is %s on %v", w.Name(), middle.Name(), middle.Arms)
		}
		named := w.Cases(plan.Selection{Arms: []plan.Arm{plan.Route}, Flows: []int{3}, CrossCheck: true})
		checkCases(t, w, named)
		if i := slices.IndexFunc(named, func(c plan.Case) bool { return c.Value(keyTool) != "" }); i < 0 {
			t.Errorf("%s: no tool to check with", w.Name())
		}
		if short := w.Cases(plan.Selection{Short: true}); len(short) != 0 {
			t.Errorf("%s: %d cases in bench-check", w.Name(), len(short))
		}
	}
}

// checkCases says what holds for every list of cases.
func checkCases(t *testing.T, w workload, cases []plan.Case) {
	t.Helper()
	seen := map[string]bool{}
	for _, c := range cases {
		c.Workload = w.Name()
		if seen[c.FullName()] || len(c.Metrics) == 0 || c.Flows == 0 {
			t.Errorf("%s: twice, or without metrics or flows: %+v", c.FullName(), c)
		}
		seen[c.FullName()] = true
	}
}
