// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/perf/benchfmt"

	"github.com/fairway-project/fairway/bench/facts"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/result"
)

var update = flag.Bool("update", false, "write what the reports are into testdata")

func arm(name plan.Arm, base float64) result.Arm {
	a := result.Arm{Arm: name, Proof: string(name) + " counted 100 of 100"}
	for _, noise := range []float64{1, 1.01, 0.99, 1.02, 0.98, 1.005, 1} {
		a.Samples = append(a.Samples, result.Sample{Values: []float64{base * noise, 1e9 / base}, Ops: 100, Took: time.Second})
	}
	return a
}

// sample is a run with some of everything.
func sample() Report {
	r := &result.Run{Started: time.Unix(1700000000, 0), Took: 90 * time.Second, Seed: 7, Pairs: 7}
	for i, flows := range []int{1, 256, 65536} {
		again := arm(plan.EBPF, 301+float64(i))
		c := result.Case{
			Case:    plan.Case{Workload: "pps", Walk: plan.LANToPublished, Family: plan.IPv4, Flows: flows, Axis: "flows"},
			Metrics: []plan.Metric{plan.NsPerPacket, plan.PacketsPerSec},
			Arms:    []result.Arm{arm(plan.EBPF, 300+20*float64(i)), arm(plan.IPTables, 900-300*float64(i)), arm(plan.Veth, 200)},
			Again:   &again, Group: i, Slice: 200 * time.Millisecond,
		}
		r.Cases = append(r.Cases, c)
	}
	r.Cases[0].Missing = []result.Missing{{Arm: plan.Docker, Why: "dockerd is not installed"}}
	r.Cases[1].Discarded = []result.Discard{{Arm: plan.Veth, Why: "foreign CPU 40 % (cc1 | x 40 %)"}}
	h := plan.NewHistogram()
	for i := range int64(1000) {
		if err := h.RecordValue((i + 1) * 1000); err != nil {
			panic(err)
		}
	}
	r.Cases[2].Arms[0].Latency = h
	return Report{Run: r, Machine: facts.Machine{
		System: []facts.Fact{{Name: "kernel", Value: "6.12"}}, Versions: []facts.Fact{{Name: "nft", Value: "1.0"}},
		Maps: []facts.Map{{Name: "flows4", Type: "Hash", MaxEntries: 65536}},
	}}
}

func render(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// golden compares with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: run with -update if this is wanted:\n%s", name, diff)
	}
}

func TestTable(t *testing.T) {
	golden(t, "table.txt", render(t, func(w io.Writer) error { return Table(w, sample()) }))
}

func TestMarkdown(t *testing.T) {
	r := sample()
	golden(t, "report.md", render(t, func(w io.Writer) error { return Markdown(w, r, plots(r.Run)) }))
}

func TestJSON(t *testing.T) {
	text := render(t, func(w io.Writer) error { return JSON(w, sample()) })
	if !json.Valid([]byte(text)) {
		t.Error("no JSON")
	}
	golden(t, "summary.json", text)
}

func TestJSONOfUnknownNumbers(t *testing.T) {
	r := sample()
	for i := range r.Run.Cases {
		r.Run.Cases[i].Arms[0].Samples = r.Run.Cases[i].Arms[0].Samples[:1]
	}
	if text := render(t, func(w io.Writer) error { return JSON(w, r) }); !strings.Contains(text, "null") {
		t.Error("an interval of one value is known")
	}
}

// What benchstat reads is what was measured.
func TestGoBenchIsRead(t *testing.T) {
	r := sample()
	text := render(t, func(w io.Writer) error { return GoBench(w, r) })
	reader := benchfmt.NewReader(strings.NewReader(text), "raw.txt")
	lines, units := 0, 0
	for reader.Scan() {
		switch rec := reader.Result().(type) {
		case *benchfmt.Result:
			lines++
			if _, ok := rec.Value("sec/packet"); !ok && len(rec.Values) != 2 {
				t.Errorf("%s: values %v", rec.Name, rec.Values)
			}
			if rec.GetConfig("kernel") != "6.12" || rec.GetConfig("workload") != "pps" {
				t.Errorf("%s: configuration %v", rec.Name, rec.Config)
			}
			base, parts := rec.Name.Parts()
			if string(base) != "Pps" || len(parts) != 4 || !strings.HasPrefix(string(parts[3]), "/arm=") {
				t.Errorf("name %s", rec.Name)
			}
		case *benchfmt.UnitMetadata:
			units++
		case *benchfmt.SyntaxError:
			t.Error(rec)
		}
	}
	if err := reader.Err(); err != nil {
		t.Error(err)
	}
	if lines != 3*4*7 || units == 0 {
		t.Errorf("%d lines, %d units", lines, units)
	}
}

func TestPlots(t *testing.T) {
	all := plots(sample().Run)
	if len(all) != 2 {
		t.Fatalf("%d plots", len(all))
	}
	for _, p := range all {
		d := xml.NewDecoder(strings.NewReader(p.svg))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", p.file, err)
			}
		}
		if strings.Contains(p.svg, "NaN") || strings.Contains(p.svg, "Inf") {
			t.Errorf("%s: a number that is none", p.file)
		}
		golden(t, p.file, p.svg)
	}
}

func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	r := sample()
	if err := Files(dir, r); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"raw.txt", "summary.json", "pps-ratios.svg", "pps-curve.svg"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
		if !strings.Contains(string(page), "("+name+")") {
			t.Errorf("the page doesn't lead to %s", name)
		}
	}
}
