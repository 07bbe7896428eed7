// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/bench/facts"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/result"
)

// costs is a run of prog in which each case costs so many times the empty program,
// with some noise.
func costs(times map[string]float64, noise float64) *result.Run {
	r := &result.Run{}
	for name, v := range times {
		c := result.Case{
			Case:    plan.Case{Workload: "prog", Params: []plan.Param{{Key: "path", Value: name}}},
			Metrics: []plan.Metric{plan.NsPerPacket},
		}
		program, empty := result.Arm{Arm: plan.EBPF}, result.Arm{Arm: plan.Empty}
		for i := range 8 {
			off := 1 + noise*float64(i-4)/4
			program.Samples = append(program.Samples, result.Sample{Values: []float64{30 * v * off}})
			empty.Samples = append(empty.Samples, result.Sample{Values: []float64{30}})
		}
		c.Arms = []result.Arm{program, empty}
		r.Cases = append(r.Cases, c)
	}
	return r
}

func TestBaseline(t *testing.T) {
	here := facts.Machine{System: []facts.Fact{{Name: "kernel", Value: "6.1"}, {Name: "cpu", Value: "a"}, {Name: "load", Value: "9"}}}
	there := facts.Machine{System: []facts.Fact{{Name: "kernel", Value: "6.1"}, {Name: "cpu", Value: "b"}}}
	path := filepath.Join(t.TempDir(), "baseline.json")
	if err := updateBaseline(path, costs(map[string]float64{"hit": 4, "miss": 3}, 0), here); err != nil {
		t.Fatal(err)
	}
	// Another run replaces what it has and keeps the rest.
	if err := updateBaseline(path, costs(map[string]float64{"hit": 4.12345}, 0), here); err != nil {
		t.Fatal(err)
	}
	b, err := readBaseline(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]float64{"path=hit": 4.123, "path=miss": 3}, b.Ratios); diff != "" {
		t.Error(diff)
	}
	for _, tt := range []struct {
		name  string
		cost  map[string]float64
		noise float64
		want  error
		says  string
	}{
		{"the same", map[string]float64{"hit": 4.1, "miss": 3}, 0, nil, "2 cases of prog are within 10 %"},
		{"faster", map[string]float64{"hit": 2}, 0, nil, "1 cases"},
		{"a little slower", map[string]float64{"miss": 3.25}, 0, nil, "1 cases"},
		{"slower", map[string]float64{"miss": 3.4}, 0, ErrSlower, ""},
		{"slower, or noise", map[string]float64{"miss": 4}, 0.9, nil, "allows no claim"},
	} {
		var out strings.Builder
		err := checkBaseline(&out, path, costs(tt.cost, tt.noise), here)
		if !errors.Is(err, tt.want) || !strings.Contains(out.String(), tt.says) || strings.Contains(out.String(), "another machine") {
			t.Errorf("%s: %v, %q", tt.name, err, out.String())
		}
	}
	var out strings.Builder
	if err := checkBaseline(&out, path, costs(map[string]float64{"hit": 4}, 0), there); err != nil || !strings.Contains(out.String(), "cpu a; this is kernel 6.1, cpu b") {
		t.Errorf("on another machine: %v, %q", err, out.String())
	}
	if err := checkBaseline(io.Discard, path, costs(map[string]float64{"new": 1}, 0), here); err == nil {
		t.Error("a case without a figure is no error")
	}
	if err := checkBaseline(io.Discard, path, &result.Run{}, here); err == nil {
		t.Error("a run without prog is no error")
	}
	if err := checkBaseline(io.Discard, path+"x", costs(nil, 0), here); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
