// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/result"
	"github.com/fairway-project/fairway/bench/stat"
)

// Table writes a run for the terminal: for each case the median of every arm, and
// the first arm's ratio to each other one.
func Table(w io.Writer, rep Report) error {
	r := rep.Run
	for _, c := range r.Cases {
		fmt.Fprintf(w, "\n%s\n", c.FullName())
		tw := tabwriter.NewWriter(w, 0, 1, 3, ' ', 0)
		fmt.Fprintln(tw, "  ARM\tMEDIAN\tSPREAD\tRATIO\tVERDICT\t")
		for i := range c.Metrics {
			for _, row := range rows(c, i) {
				fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\t%s\t\n", row.Arm, row.Median, row.Spread, row.Ratio, row.Verdict)
			}
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		for _, m := range c.Missing {
			fmt.Fprintf(w, "  %s: not measured: %s\n", m.Arm, m.Why)
		}
	}
	if err := targetTable(w, r); err != nil {
		return err
	}
	return summary(w, rep)
}

func summary(w io.Writer, rep Report) error {
	r := rep.Run
	discarded := ""
	if n := r.Discarded(); n > 0 {
		discarded = fmt.Sprintf(", %d discarded because the machine was busy", n)
		if rep.AllowBusy {
			discarded = fmt.Sprintf(", %d of them while the machine was BUSY: no figures to quote", n)
		}
	}
	_, err := fmt.Fprintf(w, "\n%d cases, %d slices%s, seed %d, %.0f s\n", len(r.Cases), r.Slices(), discarded, r.Seed, r.Took.Seconds())
	return err
}

// row is a line of a case's table.
type row struct{ Arm, Median, Spread, Ratio, Verdict string }

// rows are those of one metric: the first arm, itself again, and the others, each
// with the first arm's ratio to it.
func rows(c result.Case, metric int) []row {
	unit := c.Metrics[metric].Unit
	line := func(name string, a result.Arm) row {
		values := a.Values(metric)
		return row{Arm: name, Median: number(stat.Median(values), unit), Spread: spread(stat.Variation(values))}
	}
	if len(c.Arms) == 0 {
		return nil
	}
	first := c.Arms[0]
	all := []row{line(string(first.Arm), first)}
	for _, cmp := range c.Comparisons() {
		if cmp.Metric != c.Metrics[metric] {
			continue
		}
		r := row{}
		if cmp.Same {
			r = line(string(cmp.Arm)+" (A/A)", *c.Again)
		} else {
			other, _ := c.Arm(cmp.Over)
			r = line(string(cmp.Over), other)
		}
		r.Ratio, r.Verdict = ratio(cmp.Ratio), string(cmp.Verdict())
		if cmp.Same {
			// Whatever the same arm differs in from itself.
			r.Verdict = "noise"
		}
		if cmp.Over == plan.Empty {
			// What a program takes is what it takes more than none.
			r.Ratio += fmt.Sprintf(", %s more", number(cmp.Difference.Mid, unit))
		}
		all = append(all, r)
	}
	return all
}

// spread is unknown where the median is 0.
func spread(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "-"
	}
	return fmt.Sprintf("±%.1f %%", v*100)
}
