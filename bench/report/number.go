// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/fairway-project/fairway/bench/stat"
)

// number has three digits that count and the unit with its prefix: "1.23 Mpackets/s",
// "315 ns/packet", "4.5 ms" for ns.
func number(v float64, unit string) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case unit == "ns/op" || strings.HasSuffix(unit, "-ns"):
		return duration(v)
	case strings.HasPrefix(unit, "ns/"):
		return digits(v) + " " + unit
	}
	for _, p := range []struct {
		size   float64
		prefix string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= p.size {
			return digits(v/p.size) + " " + p.prefix + unit
		}
	}
	return digits(v) + " " + unit
}

func duration(ns float64) string {
	for _, p := range []struct {
		size float64
		unit string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}} {
		if math.Abs(ns) >= p.size {
			return digits(ns/p.size) + " " + p.unit
		}
	}
	return digits(ns) + " ns"
}

func digits(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

// ratio is a median and its interval: "0.61 [0.60, 0.63]".
func ratio(i stat.Interval) string {
	if !i.Valid() {
		return "-"
	}
	if !i.Known() {
		return fmt.Sprintf("%.3g (too few pairs)", i.Mid)
	}
	return fmt.Sprintf("%.3g [%.3g, %.3g]", i.Mid, i.Low, i.High)
}
