// SPDX-License-Identifier: Apache-2.0

package target

import (
	"math"
	"testing"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/result"
)

func arm(name plan.Arm, values ...float64) result.Arm {
	a := result.Arm{Arm: name}
	for _, v := range values {
		a.Samples = append(a.Samples, result.Sample{Values: []float64{v}})
	}
	return a
}

func someCase(flows, group int, arms ...result.Arm) result.Case {
	return result.Case{
		Case:    plan.Case{Workload: "pps", Flows: flows},
		Metrics: []plan.Metric{plan.NsPerPacket}, Arms: arms, Group: group,
	}
}

// What a ceiling reaches stands beside the figure, and doesn't change the judgement.
func TestCeiling(t *testing.T) {
	r := &result.Run{Cases: []result.Case{
		someCase(1, 0, arm(plan.EBPF, 50, 50), arm(plan.Veth, 100, 100), arm(plan.Redirect, 60, 60)),
	}}
	t1 := over("", "pps/flows=1", plan.EBPF, plan.Veth, plan.NsPerPacket.Unit, atLeast(0.9))
	for _, tt := range []struct {
		t    Target
		best float64
	}{{t1.below(plan.Redirect, plan.Veth), 0.6}, {t1.below(plan.VethXDP, plan.Veth), math.NaN()}, {t1, math.NaN()}} {
		o := Judge(r, []Target{tt.t})[0]
		same := o.AtBest.Mid == tt.best || math.IsNaN(o.AtBest.Mid) && math.IsNaN(tt.best)
		if o.Status != NotMet || !same {
			t.Errorf("%s, at best %v, want %s, %v", o.Status, o.AtBest.Mid, NotMet, tt.best)
		}
	}
}

func TestJudge(t *testing.T) {
	r := &result.Run{Cases: []result.Case{
		someCase(1, 0, arm(plan.EBPF, 50, 50, 50), arm(plan.IPTables, 100, 100, 100)),
		someCase(2, 1, arm(plan.EBPF, 60, 60, 90)),
	}}
	ns := plan.NsPerPacket.Unit
	one, two := Side{"pps/flows=1", plan.EBPF}, Side{"pps/flows=2", plan.EBPF}
	for i, tt := range []struct {
		t      Target
		status Status
		mid    float64
	}{
		{over("", one.Case, plan.EBPF, plan.IPTables, ns, atMost(0.5)), Met, 0.5},
		{over("", one.Case, plan.EBPF, plan.IPTables, ns, atMost(0.49)), NotMet, 0.5},
		{over("", one.Case, plan.EBPF, plan.IPTables, ns, atLeast(0.5)), Met, 0.5},
		{over("", one.Case, plan.EBPF, plan.Docker, ns, atMost(1)), NotMeasured, 0},
		{over("", one.Case, plan.EBPF, plan.IPTables, "B/s", atMost(1)), NotMeasured, 0},
		{Target{Of: one, Unit: ns, Bound: atMost(50)}, Met, 50},
		{Target{Of: two, Unit: ns, Quantile: 1, Bound: atMost(80)}, NotMet, 90},
		{Target{Of: two, Over: one, Unit: ns, Bound: atMost(1.2)}, Met, 1.2},
		{Target{Of: two, Less: one, Unit: ns, Bound: atMost(9)}, NotMet, 10},
		{Target{Of: Side{one.Case, plan.IPTables}, Less: one, Unit: ns, Bound: atMost(50)}, Met, 50},
		{Target{Of: two, Less: Side{"pps/flows=3", plan.EBPF}, Unit: ns, Bound: atMost(9)}, NotMeasured, 0},
	} {
		o := Judge(r, []Target{tt.t})[0]
		if o.Status != tt.status || tt.status != NotMeasured && o.Figure.Mid != tt.mid {
			t.Errorf("%d: %s %v, want %s %v", i, o.Status, o.Figure, tt.status, tt.mid)
		}
	}
}
