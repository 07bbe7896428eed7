// SPDX-License-Identifier: Apache-2.0

package report

import (
	"slices"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/result"
)

// loss is a comparison in which ebpf does not win.
type loss struct {
	name string
	result.Comparison
}

// losses are the cases in which ebpf is worse than another way to carry the same
// traffic, then those without a difference. Ceilings are no other ways: nothing
// is published on a veth pair, and neither plain forwarding nor programs that know
// everything beforehand isolate anybody. It also returns how many comparisons there
// are.
func losses(r *result.Run) (all []loss, compared int) {
	var worse, even []loss
	for _, c := range r.Cases {
		for _, cmp := range c.Comparisons() {
			if cmp.Same || cmp.Arm != plan.EBPF && cmp.Arm != plan.XDP || cmp.Metric.Better == plan.Neutral || isCeiling(cmp.Over) || cmp.Over == plan.XDP {
				continue
			}
			compared++
			switch cmp.Verdict() {
			case result.Loses:
				worse = append(worse, loss{c.FullName(), cmp})
			case result.Even:
				even = append(even, loss{c.FullName(), cmp})
			}
		}
	}
	return append(worse, even...), compared
}

// isCeiling reports whether nothing that isolates and publishes can win over it.
func isCeiling(a plan.Arm) bool {
	return slices.Contains([]plan.Arm{plan.Redirect, plan.Lookup, plan.Route, plan.Veth, plan.VethXDP, plan.Empty}, a)
}
