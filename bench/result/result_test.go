// SPDX-License-Identifier: Apache-2.0

package result

import (
	"testing"

	"github.com/fairway-project/fairway/bench/plan"
)

func arm(name plan.Arm, values ...float64) Arm {
	a := Arm{Arm: name}
	for _, v := range values {
		a.Samples = append(a.Samples, Sample{Values: []float64{v}})
	}
	return a
}

func TestComparisons(t *testing.T) {
	again := arm(plan.EBPF, 101, 99, 100, 100, 100, 100)
	c := Case{
		Metrics: []plan.Metric{plan.NsPerPacket},
		Arms:    []Arm{arm(plan.EBPF, 100, 100, 100, 100, 100, 100), arm(plan.IPTables, 200, 210, 190, 200, 200, 200), arm(plan.Veth, 50, 50, 50, 50, 50, 50)},
		Again:   &again,
	}
	got := c.Comparisons()
	if len(got) != 3 {
		t.Fatalf("%d comparisons: %+v", len(got), got)
	}
	for i, want := range []struct {
		over    plan.Arm
		same    bool
		mid     float64
		verdict Verdict
	}{{plan.EBPF, true, 1, Even}, {plan.IPTables, false, 0.5, Wins}, {plan.Veth, false, 2, Loses}} {
		g := got[i]
		if g.Over != want.over || g.Same != want.same || g.Ratio.Mid != want.mid || g.Verdict() != want.verdict || g.Pairs != 6 {
			t.Errorf("got %+v %s, want %+v", g, g.Verdict(), want)
		}
	}
}

func TestVerdictFollowsTheDirection(t *testing.T) {
	up, down := arm(plan.EBPF, 2, 2, 2, 2, 2, 2), arm(plan.Veth, 1, 1, 1, 1, 1, 1)
	for better, want := range map[plan.Better]Verdict{plan.Higher: Wins, plan.Lower: Loses, plan.Neutral: Even} {
		if got := Compare(plan.Metric{Unit: "x", Better: better}, up, down, 0, 0).Verdict(); got != want {
			t.Errorf("%v: %s, want %s", better, got, want)
		}
	}
}

// A ratio that the same arm has to itself too is no difference.
func TestVerdictIsBeyondTheNoise(t *testing.T) {
	again := arm(plan.EBPF, 104, 104, 104, 104, 104, 104)
	c := Case{
		Metrics: []plan.Metric{plan.NsPerPacket}, Again: &again,
		Arms: []Arm{arm(plan.EBPF, 100, 100, 100, 100, 100, 100), arm(plan.IPTables, 103, 103, 103, 103, 103, 103), arm(plan.Docker, 105, 105, 105, 105, 105, 105)},
	}
	got := c.Comparisons()
	if got[1].Verdict() != Even || got[2].Verdict() != Wins {
		t.Errorf("within the noise: %s, beyond it: %s", got[1].Verdict(), got[2].Verdict())
	}
}
