// SPDX-License-Identifier: Apache-2.0

package stat

import (
	"math"
	"math/rand/v2"
	"slices"
)

// resamples of a bootstrap: the ends of the interval vary by less than a tenth of
// its width with more.
const resamples = 5000

// Level of the intervals.
const Level = 0.95

// Interval is an estimate and where the true value is in 95 of 100 cases.
type Interval struct {
	Low, Mid, High float64
}

// Excludes reports whether v is outside: the only ground to claim a difference.
func (i Interval) Excludes(v float64) bool { return v < i.Low || v > i.High }

// Known reports whether there are ends.
func (i Interval) Known() bool { return !math.IsInf(i.Low, 0) && !math.IsInf(i.High, 0) }

// Valid reports whether there is an estimate.
func (i Interval) Valid() bool { return !math.IsNaN(i.Mid) }

// Median returns the middle of the values, NaN if there are none.
func Median(values []float64) float64 { return Quantile(values, 0.5) }

// Quantile returns the value below which q of the values are, between two of them
// in proportion (R's type 7), and NaN if there are none.
func Quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return quantile(sorted, q)
}

func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low+1 == len(sorted) {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

// Ratios returns a over b, pair by pair. Both have the same length. Pairs in which
// either is zero are left out: they say nothing about a ratio.
func Ratios(a, b []float64) []float64 {
	var all []float64
	for i := range a {
		if a[i] != 0 && b[i] != 0 {
			all = append(all, a[i]/b[i])
		}
	}
	return all
}

// Differences returns a minus b, pair by pair.
func Differences(a, b []float64) []float64 {
	all := make([]float64, len(a))
	for i := range a {
		all[i] = a[i] - b[i]
	}
	return all
}

// Fewest values that an interval can come from: even from the least to the most
// of five is less than 95 % (binomial).
const Fewest = 6

// MedianInterval returns the median with its 95 % interval. Too few values have
// none: both ends are infinitely far, and nothing can be claimed.
func MedianInterval(values []float64) Interval {
	mid := Median(values)
	if len(values) < Fewest {
		return Interval{math.Inf(-1), mid, math.Inf(1)}
	}
	// The seed is arbitrary, and the same for all data.
	random := rand.New(rand.NewPCG(1, uint64(len(values))))
	medians := make([]float64, resamples)
	again := make([]float64, len(values))
	for i := range medians {
		for j := range again {
			again[j] = values[random.IntN(len(values))]
		}
		slices.Sort(again)
		medians[i] = quantile(again, 0.5)
	}
	slices.Sort(medians)
	tail := (1 - Level) / 2
	return Interval{quantile(medians, tail), mid, quantile(medians, 1-tail)}
}

// Variation is how far values spread around their median: half the distance
// between the quartiles, over the median.
func Variation(values []float64) float64 {
	return (Quantile(values, 0.75) - Quantile(values, 0.25)) / 2 / Median(values)
}
