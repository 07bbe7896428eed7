// SPDX-License-Identifier: Apache-2.0

package report

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/bench/stat"
)

func TestNumber(t *testing.T) {
	for _, tt := range []struct {
		v    float64
		unit string
		want string
	}{
		{315.4, "ns/packet", "315 ns/packet"},
		{1234567, "packets/s", "1.23 Mpackets/s"},
		{9.41e9, "B/s", "9.41 GB/s"},
		{2.5e6, "ns/op", "2.50 ms"},
		{950, "p99-ns", "950 ns"},
		{1500, "p99-ns", "1.50 µs"},
		{0, "established-lost", "0 established-lost"},
		{math.NaN(), "B/s", "-"},
	} {
		if got := number(tt.v, tt.unit); got != tt.want {
			t.Errorf("%v %s: %q, want %q", tt.v, tt.unit, got, tt.want)
		}
	}
	if got := ratio(stat.Interval{Low: math.Inf(-1), Mid: 0.5, High: math.Inf(1)}); got != "0.5 (too few pairs)" {
		t.Errorf("ratio %q", got)
	}
}

func TestScale(t *testing.T) {
	s := newScale([]float64{1, 1000}, true, 0, 100)
	if got := s.at(math.Sqrt(1000)); math.Abs(got-50) > 1e-9 {
		t.Errorf("the middle is at %v", got)
	}
	if diff := cmp.Diff([]float64{1, 10, 100, 1000}, s.ticks()); diff != "" {
		t.Error(diff)
	}
	if got := s.at(math.Inf(1)); got != 100 {
		t.Errorf("infinity is at %v", got)
	}
	linear := newScale([]float64{0, 10}, false, 0, 100)
	if diff := cmp.Diff([]float64{0, 2, 4, 6, 8, 10}, linear.ticks()); diff != "" {
		t.Error(diff)
	}
	if got := len(newScale(nil, false, 0, 1).ticks()); got > 10 {
		t.Errorf("%d ticks of no values", got)
	}
}
