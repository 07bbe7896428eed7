// SPDX-License-Identifier: Apache-2.0

// Package target has the figures that the datapath is to reach, as code: a report
// says of each whether it is met, not met, or not measured.
package target

import (
	"fmt"
	"math"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/result"
	"github.com/fairway-project/fairway/bench/stat"
)

// Target is a bound for a figure.
type Target struct {
	// What is measured, for people.
	What string
	// Of has the figure, and Over what it is a ratio to; without an arm there, it
	// is the figure itself. Less is subtracted from it instead.
	Of, Over, Less Side
	// Ceiling is what Of can't beat, CeilingOver what that is compared to: what
	// such a ratio shows, no datapath of this kind can pass here. Zero for none.
	Ceiling, CeilingOver Side
	Unit                 string
	// Quantile of the samples that is compared; 0 is the median.
	Quantile float64
	Bound    Bound
}

// Side is a subject by the full name of its case.
type Side struct {
	Case string
	Arm  plan.Arm
}

// Bound is the most or the least that a figure may be; one of both is set.
type Bound struct{ AtMost, AtLeast *float64 }

func atMost(v float64) Bound  { return Bound{AtMost: &v} }
func atLeast(v float64) Bound { return Bound{AtLeast: &v} }

func (b Bound) String() string {
	if b.AtMost != nil {
		return fmt.Sprintf("≤ %g", *b.AtMost)
	}
	return fmt.Sprintf("≥ %g", *b.AtLeast)
}

func (b Bound) holds(v float64) bool {
	if b.AtMost != nil {
		return v <= *b.AtMost
	}
	return v >= *b.AtLeast
}

// Status of a target.
type Status string

// Statuses.
const (
	Met         Status = "met"
	NotMet      Status = "not met"
	NotMeasured Status = "not measured"
)

// Outcome is a target in a run. Figure and AtBest, which is the ceiling's, are only
// valid if they were measured.
type Outcome struct {
	Target
	Status         Status
	Figure, AtBest stat.Interval
}

// Judge compares a run with targets.
func Judge(r *result.Run, targets []Target) []Outcome {
	var all []Outcome
	for _, t := range targets {
		o := Outcome{Target: t, Status: NotMeasured, Figure: unknown(), AtBest: unknown()}
		measure := func() (stat.Interval, bool) { return t.figure(r, t.Of, t.Over) }
		if t.Less.Arm != "" {
			measure = func() (stat.Interval, bool) { return t.difference(r) }
		}
		if figure, ok := measure(); ok {
			o.Figure, o.Status = figure, NotMet
			if t.Bound.holds(figure.Mid) {
				o.Status = Met
			}
		}
		if best, ok := t.figure(r, t.Ceiling, t.CeilingOver); ok {
			o.AtBest = best
		}
		all = append(all, o)
	}
	return all
}

func unknown() stat.Interval {
	return stat.Interval{Low: math.NaN(), Mid: math.NaN(), High: math.NaN()}
}

// figure is that of a side over another, or of a side if the other is zero.
func (t Target) figure(r *result.Run, side, base Side) (stat.Interval, bool) {
	of, group, ok := side.values(r, t.Unit)
	if !ok {
		return stat.Interval{}, false
	}
	if base.Arm == "" {
		if t.Quantile == 0 {
			return stat.MedianInterval(of), true
		}
		v := stat.Quantile(of, t.Quantile)
		return stat.Interval{Low: v, Mid: v, High: v}, true
	}
	over, overGroup, ok := base.values(r, t.Unit)
	if !ok {
		return stat.Interval{}, false
	}
	if t.Quantile != 0 {
		v := stat.Quantile(of, t.Quantile) / stat.Quantile(over, t.Quantile)
		return stat.Interval{Low: v, Mid: v, High: v}, true
	}
	if group != overGroup {
		// Not interleaved, so no pairs: the ratio of the medians, and the worst of
		// both intervals.
		a, b := stat.MedianInterval(of), stat.MedianInterval(over)
		return stat.Interval{Low: a.Low / b.High, Mid: a.Mid / b.Mid, High: a.High / b.Low}, true
	}
	n := min(len(of), len(over))
	return stat.MedianInterval(stat.Ratios(of[:n], over[:n])), true
}

// difference is that of both sides, pair by pair if there are pairs.
func (t Target) difference(r *result.Run) (stat.Interval, bool) {
	of, group, ok := t.Of.values(r, t.Unit)
	less, lessGroup, lessOK := t.Less.values(r, t.Unit)
	if !ok || !lessOK {
		return stat.Interval{}, false
	}
	if group != lessGroup {
		a, b := stat.MedianInterval(of), stat.MedianInterval(less)
		return stat.Interval{Low: a.Low - b.High, Mid: a.Mid - b.Mid, High: a.High - b.Low}, true
	}
	n := min(len(of), len(less))
	return stat.MedianInterval(stat.Differences(of[:n], less[:n])), true
}

func (s Side) values(r *result.Run, unit string) (values []float64, group int, ok bool) {
	for _, c := range r.Cases {
		if c.FullName() != s.Case {
			continue
		}
		arm, known := c.Arm(s.Arm)
		if at := c.Metric(unit); known && at >= 0 {
			return arm.Values(at), c.Group, true
		}
	}
	return nil, 0, false
}
