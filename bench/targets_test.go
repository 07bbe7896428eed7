// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"strings"
	"testing"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/target"
)

// Every target is about a case that a workload has, on an arm that the case has,
// in a unit that it is measured in: otherwise it would silently never be measured.
func TestTargetsNameCases(t *testing.T) {
	cases, workloads := make(map[string]plan.Case), make(map[string]bool)
	for _, w := range Workloads() {
		workloads[w.Name()] = true
		for _, c := range w.Cases(plan.Selection{Arms: w.Arms()}) {
			c.Workload = w.Name()
			cases[c.FullName()] = c
		}
	}
	for _, tt := range target.Table() {
		for _, side := range []target.Side{tt.Of, tt.Over, tt.Less} {
			// A workload that isn't there yet can't be asked for its cases.
			workload, _, _ := strings.Cut(side.Case, "/")
			if side.Arm == "" || !workloads[workload] {
				continue
			}
			c, ok := cases[side.Case]
			if !ok {
				t.Errorf("%s: no case %s", tt.What, side.Case)
				continue
			}
			if !c.On(side.Arm) {
				t.Errorf("%s: %s has no arm %s", tt.What, side.Case, side.Arm)
			}
			if !measures(c, tt.Unit) {
				t.Errorf("%s: %s is not measured in %s", tt.What, side.Case, tt.Unit)
			}
		}
	}
}

func measures(c plan.Case, unit string) bool {
	for _, m := range c.Metrics {
		if m.Unit == unit {
			return true
		}
	}
	return strings.HasSuffix(unit, "-ns")
}
