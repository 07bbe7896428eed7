// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"math"
)

// scale maps values to pixels, linear or by their logarithm.
type scale struct {
	low, high float64
	from, to  float64
	log       bool
}

// newScale covers the values, with a little room at both ends.
func newScale(values []float64, log bool, from, to float64) scale {
	s := scale{low: math.Inf(1), high: math.Inf(-1), from: from, to: to, log: log}
	for _, v := range values {
		if !math.IsInf(v, 0) && !math.IsNaN(v) && (!log || v > 0) {
			s.low, s.high = min(s.low, v), max(s.high, v)
		}
	}
	if s.low > s.high {
		s.low, s.high = 1, 1
	}
	if log {
		s.low, s.high = s.low/1.15, s.high*1.15
		return s
	}
	room := max((s.high-s.low)*0.06, math.Abs(s.high)*0.01, 1e-9)
	s.low, s.high = s.low-room, s.high+room
	return s
}

func (s scale) at(v float64) float64 {
	// What is off the scale ends at its edge: an interval without end, for one.
	v = min(max(v, s.low), s.high)
	share := (v - s.low) / (s.high - s.low)
	if s.log {
		share = math.Log(v/s.low) / math.Log(s.high/s.low)
	}
	return s.from + share*(s.to-s.from)
}

// ticks are at powers of ten, or of two where they span less than two decades, on
// a logarithmic scale, and at round steps on a linear one.
func (s scale) ticks() []float64 {
	var all []float64
	if s.log {
		base := 10.0
		if s.high/s.low < 100 {
			base = 2
		}
		for e := math.Ceil(math.Log(s.low)/math.Log(base) - 1e-9); math.Pow(base, e) <= s.high; e++ {
			all = append(all, math.Pow(base, e))
		}
		return all
	}
	step := round((s.high - s.low) / 7)
	for v := math.Ceil(s.low/step) * step; v <= s.high; v += step {
		all = append(all, v)
	}
	return all
}

// round makes a step 1, 2 or 5 times a power of ten.
func round(step float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(step)))
	for _, m := range []float64{1, 2, 5} {
		if step <= m*power {
			return m * power
		}
	}
	return 10 * power
}

// label is a tick's: "64k" for counts, as few digits as tell it from others.
func label(v float64) string {
	switch {
	case v >= 1e9:
		return fmt.Sprintf("%gG", trim(v/1e9))
	case v >= 1e6:
		return fmt.Sprintf("%gM", trim(v/1e6))
	case v >= 1e4:
		return fmt.Sprintf("%gk", trim(v/1e3))
	}
	return fmt.Sprintf("%g", trim(v))
}

// trim also makes a zero of a negative one.
func trim(v float64) float64 { return math.Round(v*1e4)/1e4 + 0 }
