// SPDX-License-Identifier: Apache-2.0

package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/bench/facts"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/result"
)

// baseline has what a packet costs in a program, over what one costs in the empty
// program on the same machine at the same time: the figures that a change of the
// programs is checked against.
type baseline struct {
	About string `json:"about"`
	// Machine is where the last figures were measured. Caches and mitigations
	// change ratios, too: they don't carry over well.
	Machine string             `json:"machine"`
	Ratios  map[string]float64 `json:"ratio_to_empty"`
}

const aboutBaseline = "Median ratio of the arm ebpf to the arm empty in the workload prog, by case. Written by: fairway-bench prog --update FILE"

// tolerance of a check: a tenth more than the baseline.
const tolerance = 1.10

// ErrSlower is what a check returns that found a regression.
var ErrSlower = errors.New("slower than the committed figures")

// ratios are a run's figures of prog.
func ratios(r *result.Run) map[string]result.Comparison {
	all := make(map[string]result.Comparison)
	for _, c := range r.Cases {
		for _, cmp := range c.Comparisons() {
			if c.Workload == "prog" && cmp.Arm == plan.EBPF && cmp.Over == plan.Empty {
				all[c.Name()] = cmp
			}
		}
	}
	return all
}

// updateBaseline replaces the figures of the cases that the run has, and keeps
// those of others that still are cases.
func updateBaseline(path string, r *result.Run, m facts.Machine) error {
	b, err := readBaseline(path)
	if errors.Is(err, os.ErrNotExist) {
		b, err = baseline{Ratios: map[string]float64{}}, nil
	}
	if err != nil {
		return err
	}
	fresh := ratios(r)
	if len(fresh) == 0 {
		return errors.New("the run has no figures of prog with the arms ebpf and empty")
	}
	b.About, b.Machine = aboutBaseline, machineName(m)
	for name, cmp := range fresh {
		// Three digits: more would be noise in the diff.
		b.Ratios[name] = float64(int(cmp.Ratio.Mid*1000+0.5)) / 1000
	}
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func readBaseline(path string) (b baseline, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return b, fmt.Errorf("%s: %w", path, err)
	}
	if b.Ratios == nil {
		return b, fmt.Errorf("%s: no ratios", path)
	}
	return b, nil
}

// machineName is a machine in a line: what changes between the two runs of a comparison
// is the datapath only where it stays the same.
func machineName(m facts.Machine) string {
	var parts []string
	for _, f := range m.System {
		switch f.Name {
		case "cpu", "kernel":
			parts = append(parts, f.Name+" "+f.Value)
		}
	}
	return strings.Join(parts, ", ")
}

// checkBaseline fails if a case costs more than the tolerance allows, and if one
// has no figure to compare with. The whole interval has to be above the limit:
// noise alone is no regression.
func checkBaseline(w io.Writer, path string, r *result.Run, m facts.Machine) error {
	b, err := readBaseline(path)
	if err != nil {
		return err
	}
	fresh := ratios(r)
	if len(fresh) == 0 {
		return errors.New("the run has no figures of prog with the arms ebpf and empty")
	}
	if here := machineName(m); b.Machine != here {
		fmt.Fprintf(w, "%s was measured on another machine (%s; this is %s): compare with figures that make bench-update writes here, before the change\n",
			path, b.Machine, here)
	}
	names := make([]string, 0, len(fresh))
	for name := range fresh {
		names = append(names, name)
	}
	slices.Sort(names)
	var errs []error
	for _, name := range names {
		was, known := b.Ratios[name]
		now := fresh[name].Ratio
		switch {
		case !known:
			errs = append(errs, fmt.Errorf("prog/%s: no figure in %s: run make bench-update", name, path))
		case now.Low > was*tolerance:
			errs = append(errs, fmt.Errorf("prog/%s: %w: %.2f [%.2f, %.2f] times the empty program, was %.2f", name, ErrSlower, now.Mid, now.Low, now.High, was))
		case now.Mid > was*tolerance:
			fmt.Fprintf(w, "prog/%s: %.2f times the empty program, was %.2f, but the interval [%.2f, %.2f] allows no claim\n", name, now.Mid, was, now.Low, now.High)
		}
	}
	if len(errs) == 0 {
		fmt.Fprintf(w, "%d cases of prog are within %.0f %% of %s\n", len(names), (tolerance-1)*100, path)
	}
	return errors.Join(errs...)
}
