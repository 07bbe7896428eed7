// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"io"
	"math"
	"time"

	"github.com/fairway-project/fairway/bench/facts"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/result"
	"github.com/fairway-project/fairway/bench/stat"
	"github.com/fairway-project/fairway/bench/target"
)

type jsonReport struct {
	Started   time.Time     `json:"started"`
	Seconds   float64       `json:"seconds"`
	Seed      uint64        `json:"seed"`
	Pairs     int           `json:"pairs"`
	Slices    int           `json:"slices"`
	Discarded int           `json:"discarded"`
	AllowBusy bool          `json:"allow_busy"`
	Machine   facts.Machine `json:"machine"`
	Targets   []jsonTarget  `json:"targets"`
	Cases     []jsonCase    `json:"cases"`
}

type jsonTarget struct {
	What   string        `json:"what"`
	Bound  string        `json:"bound"`
	Status target.Status `json:"status"`
	// Ceiling is what the same ratio can be at the best, if that was measured.
	Ceiling *jsonInterval `json:"ceiling,omitempty"`
	Figure  *jsonInterval `json:"figure"`
}

type jsonCase struct {
	Name        string           `json:"name"`
	Workload    string           `json:"workload"`
	SliceMillis float64          `json:"slice_ms"`
	Arms        []jsonArm        `json:"arms"`
	Comparisons []jsonComparison `json:"comparisons"`
	Missing     []jsonMissing    `json:"missing"`
	Discarded   []jsonMissing    `json:"discarded"`
}

type jsonArm struct {
	Arm     plan.Arm     `json:"arm"`
	Again   bool         `json:"again"`
	Samples int          `json:"samples"`
	Proof   string       `json:"proof"`
	Metrics []jsonMetric `json:"metrics"`
	Latency *jsonLatency `json:"latency_ns"`
}

type jsonMetric struct {
	Unit      string       `json:"unit"`
	Median    jsonInterval `json:"median"`
	Variation jsonNumber   `json:"variation"`
}

type jsonLatency struct {
	Count int64 `json:"count"`
	P50   int64 `json:"p50"`
	P90   int64 `json:"p90"`
	P99   int64 `json:"p99"`
	P999  int64 `json:"p99.9"`
	Max   int64 `json:"max"`
}

type jsonComparison struct {
	Unit       string         `json:"unit"`
	Arm        plan.Arm       `json:"arm"`
	Over       plan.Arm       `json:"over"`
	Same       bool           `json:"same"`
	Pairs      int            `json:"pairs"`
	Ratio      jsonInterval   `json:"ratio"`
	Difference jsonInterval   `json:"difference"`
	Verdict    result.Verdict `json:"verdict"`
}

type jsonMissing struct {
	Arm plan.Arm `json:"arm"`
	Why string   `json:"why"`
}

type jsonInterval struct {
	Low  jsonNumber `json:"low"`
	Mid  jsonNumber `json:"mid"`
	High jsonNumber `json:"high"`
}

// jsonNumber is null where JSON has no number.
type jsonNumber float64

func (n jsonNumber) MarshalJSON() ([]byte, error) {
	if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

func interval(i stat.Interval) jsonInterval {
	return jsonInterval{jsonNumber(i.Low), jsonNumber(i.Mid), jsonNumber(i.High)}
}

// JSON writes a run's summary: medians, intervals and facts, without the samples.
func JSON(w io.Writer, r Report) error {
	out := jsonReport{
		Started: r.Run.Started.UTC().Truncate(time.Second), Seconds: r.Run.Took.Seconds(), Seed: r.Run.Seed, Pairs: r.Run.Pairs,
		Slices: r.Run.Slices(), Discarded: r.Run.Discarded(), AllowBusy: r.AllowBusy, Machine: r.Machine,
		Targets: []jsonTarget{}, Cases: []jsonCase{},
	}
	for _, o := range target.Judge(r.Run, target.Table()) {
		t := jsonTarget{What: o.What, Bound: o.Bound.String(), Status: o.Status}
		if o.Status != target.NotMeasured {
			i := interval(o.Figure)
			t.Figure = &i
		}
		if o.AtBest.Valid() {
			i := interval(o.AtBest)
			t.Ceiling = &i
		}
		out.Targets = append(out.Targets, t)
	}
	for _, c := range r.Run.Cases {
		out.Cases = append(out.Cases, caseJSON(c))
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(out)
}

func caseJSON(c result.Case) jsonCase {
	out := jsonCase{
		Name: c.FullName(), Workload: c.Workload, SliceMillis: float64(c.Slice) / 1e6,
		Arms: []jsonArm{}, Comparisons: []jsonComparison{}, Missing: []jsonMissing{}, Discarded: []jsonMissing{},
	}
	for _, a := range c.Arms {
		out.Arms = append(out.Arms, armJSON(c, a, false))
	}
	if c.Again != nil {
		out.Arms = append(out.Arms, armJSON(c, *c.Again, true))
	}
	for _, cmp := range c.Comparisons() {
		out.Comparisons = append(out.Comparisons, jsonComparison{
			Unit: cmp.Metric.Unit, Arm: cmp.Arm, Over: cmp.Over, Same: cmp.Same, Pairs: cmp.Pairs,
			Ratio: interval(cmp.Ratio), Difference: interval(cmp.Difference), Verdict: cmp.Verdict(),
		})
	}
	for _, m := range c.Missing {
		out.Missing = append(out.Missing, jsonMissing(m))
	}
	for _, d := range c.Discarded {
		out.Discarded = append(out.Discarded, jsonMissing(d))
	}
	return out
}

func armJSON(c result.Case, a result.Arm, again bool) jsonArm {
	out := jsonArm{Arm: a.Arm, Again: again, Samples: len(a.Samples), Proof: a.Proof, Metrics: []jsonMetric{}}
	for i, m := range c.Metrics {
		values := a.Values(i)
		out.Metrics = append(out.Metrics, jsonMetric{m.Unit, interval(stat.MedianInterval(values)), jsonNumber(stat.Variation(values))})
	}
	if h := a.Latency; h != nil {
		out.Latency = &jsonLatency{
			h.TotalCount(), h.ValueAtQuantile(50), h.ValueAtQuantile(90), h.ValueAtQuantile(99), h.ValueAtQuantile(99.9), h.Max(),
		}
	}
	return out
}
