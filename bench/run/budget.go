// SPDX-License-Identifier: Apache-2.0

package run

import (
	"slices"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/stat"
)

// weight is what a group takes at its full number of pairs, without what comes
// on top of slices.
func (g Group) weight() time.Duration {
	return time.Duration(g.subjects()*(g.Pairs+1)) * g.Slice
}

// single reports whether the group has no A/A.
func (g Group) single() bool {
	return slices.ContainsFunc(g.Cases, func(c plan.Case) bool { return c.Single })
}

// subjects are the arms of all cases, and one more for A/A.
func (g Group) subjects() int {
	n := 1
	if g.single() {
		n = 0
	}
	for _, arms := range g.Arms {
		n += len(arms)
	}
	return n
}

// share is how much of the time that is left the first of these groups may take:
// what its weight is of all.
func share(left time.Duration, groups []Group) time.Duration {
	var all time.Duration
	for _, g := range groups {
		all += g.weight()
	}
	return time.Duration(float64(left) * float64(groups[0].weight()) / float64(max(all, 1)))
}

// afford lowers the group's pairs to what the time until the deadline is enough
// for, when a block takes so long.
func (e *engine) afford(block time.Duration) {
	if e.deadline.IsZero() {
		return
	}
	least := min(stat.Fewest, e.group.Pairs)
	pairs := min(max(int(time.Until(e.deadline)/max(block, 1)), least), e.group.Pairs)
	e.Progress.Fewer((e.group.Pairs - pairs) * len(e.subjects))
	e.group.Pairs = pairs
}
