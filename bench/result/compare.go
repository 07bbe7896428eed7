// SPDX-License-Identifier: Apache-2.0

package result

import (
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/stat"
)

// Comparison is one arm's metric over another's, pair by pair.
type Comparison struct {
	Metric    plan.Metric
	Arm, Over plan.Arm
	// Same is set where both are the same arm: the A/A row.
	Same bool
	// Ratio of the values, and Difference of them in the metric's unit.
	Ratio, Difference stat.Interval
	Pairs             int
	// Noise is how far the A/A ratio of the same slices is from 1, as a factor: 1
	// where it isn't known.
	Noise float64
}

// Verdict of a comparison.
type Verdict string

// Verdicts: unless the interval excludes 1, and the ratio is farther from 1 than
// that of the same arm twice, nothing is claimed.
const (
	Wins  Verdict = "better"
	Loses Verdict = "worse"
	Even  Verdict = "no difference"
)

// Verdict says what the interval allows to claim of the arm.
func (c Comparison) Verdict() Verdict {
	if c.Metric.Better == plan.Neutral || !c.Ratio.Excludes(1) || !c.Same && max(c.Ratio.Mid, 1/c.Ratio.Mid) <= c.Noise {
		return Even
	}
	if (c.Ratio.Mid > 1) == (c.Metric.Better == plan.Higher) {
		return Wins
	}
	return Loses
}

// Compare returns the comparison of two subjects that ran in the same blocks.
func Compare(m plan.Metric, arm, over Arm, at, overAt int) Comparison {
	a, b := arm.Values(at), over.Values(overAt)
	n := min(len(a), len(b))
	ratios := stat.Ratios(a[:n], b[:n])
	return Comparison{
		Metric: m, Arm: arm.Arm, Over: over.Arm,
		Ratio: stat.MedianInterval(ratios), Difference: stat.MedianInterval(stat.Differences(a[:n], b[:n])), Pairs: len(ratios),
	}
}

// Comparisons returns the first arm over every other one for each metric, the
// A/A row first where there is one.
func (c Case) Comparisons() []Comparison {
	var all []Comparison
	if len(c.Arms) == 0 {
		return nil
	}
	for i, m := range c.Metrics {
		noise := 1.0
		if c.Again != nil {
			same := Compare(m, *c.Again, c.Arms[0], i, i)
			same.Same = true
			if same.Ratio.Valid() {
				noise = max(same.Ratio.Mid, 1/same.Ratio.Mid)
			}
			all = append(all, same)
		}
		for _, other := range c.Arms[1:] {
			cmp := Compare(m, c.Arms[0], other, i, i)
			cmp.Noise = noise
			all = append(all, cmp)
		}
	}
	return all
}
