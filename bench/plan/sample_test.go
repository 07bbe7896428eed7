// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"math"
	"testing"
)

func TestSampleCheck(t *testing.T) {
	c := Case{Workload: "pps", Metrics: []Metric{NsPerPacket}}
	if err := (Sample{Values: []float64{300}, Ops: 1}).Check(c); err != nil {
		t.Error(err)
	}
	for name, s := range map[string]Sample{
		"no value":        {Ops: 1},
		"nothing sent":    {Values: []float64{1}},
		"not a number":    {Values: []float64{math.NaN()}, Ops: 1},
		"infinite":        {Values: []float64{math.Inf(1)}, Ops: 1},
		"negative":        {Values: []float64{-1}, Ops: 1},
		"empty histogram": {Values: []float64{1}, Ops: 1, Latency: NewHistogram()},
	} {
		if s.Check(c) == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
