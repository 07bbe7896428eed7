// SPDX-License-Identifier: Apache-2.0

package stat

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Values by R: quantile(x, q), type 7.
func TestQuantile(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{[]float64{5}, 0.5, 5},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{4, 1, 3, 2}, 0.25, 1.75},
		{[]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0.9, 9.1},
		{[]float64{1, 2}, 1, 2},
		{[]float64{1, 2}, 0, 1},
	} {
		if got := Quantile(tt.values, tt.q); math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("quantile %v of %v: %v, want %v", tt.q, tt.values, got, tt.want)
		}
	}
	if !math.IsNaN(Median(nil)) {
		t.Error("median of nothing")
	}
}

func TestQuantileLeavesTheOrder(t *testing.T) {
	values := []float64{3, 1, 2}
	Median(values)
	if diff := cmp.Diff([]float64{3, 1, 2}, values); diff != "" {
		t.Error(diff)
	}
}

func TestPairs(t *testing.T) {
	if diff := cmp.Diff([]float64{0.5, 2}, Ratios([]float64{1, 4, 0, 7}, []float64{2, 2, 3, 0})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]float64{-1, 2}, Differences([]float64{1, 4}, []float64{2, 2})); diff != "" {
		t.Error(diff)
	}
}

func TestMedianIntervalIsDeterministic(t *testing.T) {
	values := []float64{1.1, 0.9, 1.3, 1.0, 0.8, 1.2, 1.05}
	if a, b := MedianInterval(values), MedianInterval(values); a != b {
		t.Errorf("%v and %v", a, b)
	}
}

func TestMedianIntervalOfConstant(t *testing.T) {
	got := MedianInterval([]float64{2, 2, 2, 2, 2, 2})
	if want := (Interval{2, 2, 2}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got.Excludes(2) || !got.Excludes(1) {
		t.Error("Excludes")
	}
}

func TestMedianIntervalOfFew(t *testing.T) {
	got := MedianInterval([]float64{3, 3, 3, 3, 3})
	if got.Excludes(-1e9) || got.Mid != 3 || got.Known() {
		t.Errorf("five values: %v", got)
	}
	if !MedianInterval([]float64{3, 3, 3, 3, 3, 3}).Known() {
		t.Error("six values have no interval")
	}
	if MedianInterval(nil).Valid() {
		t.Error("no values have an estimate")
	}
}

// The interval of the median of 20 values from the order statistics, which the
// bootstrap approaches: 6th to 15th (binomial, 95.9 %).
func TestMedianIntervalAgainstOrderStatistics(t *testing.T) {
	var values []float64
	for i := 1; i <= 20; i++ {
		values = append(values, float64(i))
	}
	got := MedianInterval(values)
	if got.Mid != 10.5 || got.Low < 5.5 || got.Low > 7.5 || got.High < 13.5 || got.High > 15.5 {
		t.Errorf("got %v, want about 6 to 15 around 10.5", got)
	}
}

// In 95 of 100 experiments the interval has the true value in it.
func TestMedianIntervalCovers(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	const experiments = 300
	covered := 0
	for range experiments {
		values := make([]float64, 20)
		for i := range values {
			values[i] = math.Exp(random.NormFloat64() / 10)
		}
		if !MedianInterval(values).Excludes(1) {
			covered++
		}
	}
	if share := float64(covered) / experiments; share < 0.90 || share > 0.99 {
		t.Errorf("interval covers the truth in %.0f %% of experiments", share*100)
	}
}

func TestVariation(t *testing.T) {
	if got := Variation([]float64{8, 9, 10, 11, 12}); math.Abs(got-0.1) > 1e-12 {
		t.Errorf("got %v, want 0.1", got)
	}
}
