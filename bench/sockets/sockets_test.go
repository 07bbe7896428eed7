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
	"github.com/fairway-project/fairway/bench/world"
	"github.com/fairway-project/fairway/bench/world/worldtest"
	"github.com/fairway-project/fairway/test/root"
)

func TestMain(m *testing.M) {
	load.Init(os.Args)
	os.Exit(root.Main(m))
}

// slice is enough for transactions on a quiet machine.
const slice = 50 * time.Millisecond

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

// place is a world that every case fits into.
type place struct{ worldtest.Place }

func newPlace(t *testing.T, arm plan.Arm) *place {
	t.Helper()
	return &place{worldtest.NewPlace(t, world.Options{Arm: arm, Containers: []world.Container{
		{Name: "c0", Publish: []world.Port{
			{Proto: "tcp", Host: firstPort, Container: firstPort, Count: morePorts}, {Proto: "udp", Host: firstPort, Container: firstPort},
		}},
		{Name: "c1"},
	}})}
}

// run runs a slice of a case, with what the workload adds to it.
func (p *place) run(t *testing.T, k load.Kind, c plan.Case) []plan.Sample {
	t.Helper()
	w := of(t, k)
	c.Workload = w.Name()
	w.finish(&c)
	// Requests that each open a connection fill the table: what comes after them would be
	// refused until the daemon notices.
	p.Forget(t)
	i := &instance{kind: k, env: p.Env, subject: plan.Subject{Case: c, Arm: p.Arm}, world: p.World}
	defer worldtest.Leave(t, i.leave)
	if err := i.enter(t.Context()); err != nil {
		t.Fatalf("%s on %s: %v", c.FullName(), p.Arm, err)
	}
	return plantest.Measure(t, i, i.subject, slice, 1)
}

// each runs a case of each of the kinds.
func (p *place) each(t *testing.T, kinds []load.Kind, c plan.Case) {
	t.Helper()
	for _, k := range kinds {
		t.Run(fmt.Sprintf("%s/%s/%s/%d", k, c.Walk, c.Family, c.Flows), func(t *testing.T) { p.run(t, k, c) })
	}
}

// every runs a case of each kind on each walk in both families.
func (p *place) every(t *testing.T, kinds []load.Kind, walks []plan.Walk) {
	t.Helper()
	for _, walk := range walks {
		for _, family := range []plan.Family{plan.IPv4, plan.IPv6} {
			p.each(t, kinds, plan.Case{Walk: walk, Family: family, Flows: 1})
		}
	}
}

// middle is the case that every arm is measured by.
var middle = plan.Case{Walk: plan.LANToPublished, Family: plan.IPv4, Flows: 16}

func TestEBPF(t *testing.T) {
	p := newPlace(t, plan.EBPF)
	p.each(t, load.Kinds(), middle)
	p.every(t, []load.Kind{load.CRR, load.UDPRR}, walks())
	t.Run("tools", func(t *testing.T) {
		for _, k := range []load.Kind{load.RR, load.CRR, load.UDPRR} {
			t.Run(string(k), func(t *testing.T) { p.run(t, k, of(t, k).checks()[0]) })
		}
	})
	t.Run("open loop has latencies", func(t *testing.T) {
		for _, s := range p.run(t, load.RR, plan.Case{
			Walk: plan.LANToPublished, Family: plan.IPv4, Flows: openFlows, Params: []plan.Param{{Key: keyLoad, Value: "50"}},
		}) {
			if s.Latency == nil || s.Latency.TotalCount() != int64(s.Ops) {
				t.Errorf("%d operations, latencies %v", s.Ops, s.Latency)
			}
		}
	})
}

func TestIPTables(t *testing.T) { newPlace(t, plan.IPTables).each(t, load.Kinds(), middle) }

// Translated TCP is carried with all its offloads.
func TestRedirect(t *testing.T) {
	p := newPlace(t, plan.Redirect)
	p.each(t, load.Kinds(), middle)
	p.every(t, []load.Kind{load.CRR, load.Stream}, []plan.Walk{plan.LANToPublished, plan.ContainerToLAN, plan.ContainerToContainer})
}

func TestVeth(t *testing.T) {
	p := newPlace(t, plan.Veth)
	p.each(t, load.Kinds(), middle)
	t.Run("client and server on two CPUs", func(t *testing.T) {
		p.run(t, load.RR, plan.Case{
			Walk: plan.LANToPublished, Family: plan.IPv4, Flows: 1, Params: []plan.Param{{Key: keyCPU, Value: split}},
		})
	})
}

func TestVethXDP(t *testing.T) { newPlace(t, plan.VethXDP).each(t, []load.Kind{load.Stream}, middle) }

// Which containers a world gets is the walk's to say. The tool for streams has one of its
// own: a server that others have spoken to before keeps it waiting.
func TestOwnWorld(t *testing.T) {
	w := of(t, load.Stream)
	c := w.checks()[0]
	c.Workload = w.Name()
	w.finish(&c)
	plantest.Run(t, w, plantest.WithFairway(t), plan.Subject{Case: c, Arm: plan.EBPF}, slice, 1)
}

func TestCases(t *testing.T) {
	for _, plain := range Workloads() {
		w := plain.(workload)
		star := w.Cases(plan.Selection{Arms: w.Arms()})
		checkCases(t, w, star)
		first := star[0]
		if len(first.Arms) != len(w.Arms()) || first.Walk != plan.LANToPublished || first.Flows != 1 {
			t.Errorf("%s: the middle is %s on %v", w.Name(), first.Name(), first.Arms)
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
