// SPDX-License-Identifier: Apache-2.0

// Package result is what a run of the benchmark measured, as the engine leaves it
// and reports read it.
package result

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/fairway-project/fairway/bench/plan"
)

// Run is everything that one run measured.
type Run struct {
	Started time.Time
	Took    time.Duration
	// Seed of the order in which slices ran.
	Seed uint64
	// Pairs and Slice as the user asked for them; cases may say otherwise.
	Pairs int
	Slice time.Duration
	Cases []Case
}

// Case is what was measured of one.
type Case struct {
	plan.Case
	// Metrics are those of the case, and the percentiles of its latency.
	Metrics []plan.Metric
	// Arms in the order of the case, the one that others are compared to first.
	Arms []Arm
	// Again is the first arm once more, as a subject of its own: what differs
	// between both is noise. A group of cases has one, in its first case.
	Again *Arm
	// Missing arms, which this machine can't have.
	Missing []Missing
	// Group is what the case was interleaved with, by number: values of cases of
	// one group are pairs.
	Group int
	// Slice that was used, and Discarded slices, during which the machine was busy.
	Slice     time.Duration
	Discarded []Discard
}

// Arm is one subject's samples, one per block.
type Arm struct {
	Arm     plan.Arm
	Samples []Sample
	// Latency of all samples together; nil if it isn't measured.
	Latency *hdrhistogram.Histogram
	Proof   string
}

// Sample is one slice's values, in the order of the case's Metrics.
type Sample struct {
	Values []float64
	Ops    uint64
	Took   time.Duration
}

// Missing is an arm that isn't available here, and why.
type Missing struct {
	Arm plan.Arm
	Why string
}

// Discard is a slice that didn't count, and why.
type Discard struct {
	Arm plan.Arm
	Why string
}

// Values returns the arm's values of one metric, one per block.
func (a Arm) Values(metric int) []float64 {
	values := make([]float64, len(a.Samples))
	for i, s := range a.Samples {
		values[i] = s.Values[metric]
	}
	return values
}

// Arm returns the arm of that name.
func (c Case) Arm(name plan.Arm) (Arm, bool) {
	for _, a := range c.Arms {
		if a.Arm == name {
			return a, true
		}
	}
	return Arm{}, false
}

// Metric returns the place of the metric with this unit, or -1.
func (c Case) Metric(unit string) int {
	for i, m := range c.Metrics {
		if m.Unit == unit {
			return i
		}
	}
	return -1
}

// Discarded counts the slices that didn't count, and Slices all that ran.
func (r Run) Discarded() (n int) {
	for _, c := range r.Cases {
		n += len(c.Discarded)
	}
	return n
}

// Slices counts those that counted.
func (r Run) Slices() (n int) {
	for _, c := range r.Cases {
		for _, a := range c.all() {
			n += len(a.Samples)
		}
	}
	return n
}

func (c Case) all() []Arm {
	if c.Again == nil {
		return c.Arms
	}
	return append(c.Arms[:len(c.Arms):len(c.Arms)], *c.Again)
}
