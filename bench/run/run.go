// SPDX-License-Identifier: Apache-2.0

package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/result"
)

// Run measures what the options select of the workloads. It returns what was
// measured, or an error and nothing.
func Run(ctx context.Context, workloads []plan.Workload, o Options) (*result.Run, error) {
	groups, err := Groups(workloads, o)
	if err != nil {
		return nil, err
	}
	r := &result.Run{Started: time.Now(), Seed: o.Seed, Pairs: o.Pairs, Slice: o.Slice}
	o.Progress.Begin(total(groups))
	defer o.Progress.End()
	for i, g := range groups {
		e := &engine{Options: o, group: g, number: i, random: rand.New(rand.NewPCG(o.Seed, uint64(i)))}
		if o.Budget > 0 {
			now := time.Now()
			e.deadline = now.Add(share(o.Budget-now.Sub(r.Started), groups[i:]))
		}
		cases, err := e.measure(ctx)
		if err != nil || i+1 == len(groups) || groups[i+1].Workload.Name() != g.Workload.Name() {
			err = errors.Join(err, end(g.Workload))
		}
		if err != nil {
			return nil, err
		}
		r.Cases = append(r.Cases, cases...)
	}
	r.Took = time.Since(r.Started)
	return r, nil
}

// end closes a workload that keeps something.
func end(w plan.Workload) error {
	if c, ok := w.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Group is what is up at the same time.
type Group struct {
	Workload plan.Workload
	Cases    []plan.Case
	// Arms of each case.
	Arms  [][]plan.Arm
	Pairs int
	Slice time.Duration
}

// Groups returns what Run would measure, in order.
func Groups(workloads []plan.Workload, o Options) ([]Group, error) {
	var groups []Group
	for _, w := range workloads {
		selection := o.Selection
		selection.Arms = arms(w, o.Selection.Arms)
		if len(selection.Arms) == 0 {
			return nil, fmt.Errorf("workload %s: has none of the arms %v, only %v", w.Name(), o.Selection.Arms, w.Arms())
		}
		own := group(w, selection, o)
		if err := unique(own); err != nil {
			return nil, err
		}
		groups = append(groups, own...)
	}
	if len(groups) == 0 {
		return nil, fmt.Errorf("nothing is selected")
	}
	return groups, nil
}

// arms are those that the user named and the workload has, in the user's order.
func arms(w plan.Workload, named []plan.Arm) []plan.Arm {
	if len(named) == 0 {
		return w.Arms()
	}
	var both []plan.Arm
	for _, a := range named {
		for _, own := range w.Arms() {
			if a == own {
				both = append(both, a)
			}
		}
	}
	return both
}

// group joins cases with the same group; the order is that of their first cases.
func group(w plan.Workload, s plan.Selection, o Options) []Group {
	var groups []Group
	at := make(map[string]int)
	for _, c := range w.Cases(s) {
		c.Workload = w.Name()
		own := on(c, s.Arms)
		if len(own) == 0 || o.Match != nil && !o.Match.MatchString(c.FullName()) {
			continue
		}
		i, ok := at[c.Group]
		if !ok || c.Group == "" {
			i = len(groups)
			at[c.Group] = i
			groups = append(groups, Group{Workload: w, Pairs: o.Pairs})
		}
		g := &groups[i]
		g.Cases, g.Arms = append(g.Cases, c), append(g.Arms, own)
		g.Pairs, g.Slice = min(g.Pairs, cmp.Or(c.Pairs, g.Pairs)), max(g.Slice, cmp.Or(o.Slice, c.Slice, DefaultSlice))
	}
	return groups
}

func on(c plan.Case, arms []plan.Arm) []plan.Arm {
	var own []plan.Arm
	for _, a := range arms {
		if c.On(a) {
			own = append(own, a)
		}
	}
	return own
}

// unique refuses what the raw data could not tell apart.
func unique(groups []Group) error {
	seen := make(map[string]bool)
	for _, g := range groups {
		for _, c := range g.Cases {
			if seen[c.FullName()] {
				return fmt.Errorf("two cases are named %s", c.FullName())
			}
			seen[c.FullName()] = true
		}
	}
	return nil
}

// total is how many slices there will be if all arms are available.
func total(groups []Group) (n int) {
	for _, g := range groups {
		n += g.subjects() * g.Pairs
	}
	return n
}
