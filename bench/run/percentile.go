// SPDX-License-Identifier: Apache-2.0

package run

import (
	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/fairway-project/fairway/bench/plan"
)

// percentiles are the metrics that a slice's histogram adds.
func percentiles() []plan.Metric {
	return []plan.Metric{
		{Unit: "p50-ns", Better: plan.Lower}, {Unit: "p90-ns", Better: plan.Lower}, {Unit: "p99-ns", Better: plan.Lower},
		{Unit: "p99.9-ns", Better: plan.Lower}, {Unit: "max-ns", Better: plan.Lower},
	}
}

func percentileValues(h *hdrhistogram.Histogram) []float64 {
	var values []float64
	for _, q := range []float64{50, 90, 99, 99.9} {
		values = append(values, float64(h.ValueAtQuantile(q)))
	}
	return append(values, float64(h.Max()))
}
