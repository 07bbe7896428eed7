// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/fairway-project/fairway/bench/result"
	"github.com/fairway-project/fairway/bench/target"
)

// figure is an outcome's for people: a ratio, or a value with its unit.
func figure(o target.Outcome) string {
	switch {
	case o.Status == target.NotMeasured:
		return "-"
	case o.Over.Arm != "":
		return ratio(o.Figure)
	}
	return number(o.Figure.Mid, o.Unit)
}

// atBest is what the ceiling reaches, if the run has one.
func atBest(o target.Outcome) string {
	if !o.AtBest.Valid() {
		return "-"
	}
	return ratio(o.AtBest) + ", " + string(o.Ceiling.Arm) + " over " + string(o.CeilingOver.Arm)
}

// bound is what the figure has to be, in the same form.
func bound(o target.Outcome) string {
	if o.Over.Arm != "" {
		return o.Bound.String()
	}
	if o.Bound.AtMost != nil {
		return "≤ " + number(*o.Bound.AtMost, o.Unit)
	}
	return "≥ " + number(*o.Bound.AtLeast, o.Unit)
}

// targetTable writes the outcomes that a run can have: on a terminal those that
// it did not measure are only counted.
func targetTable(w io.Writer, r *result.Run) error {
	missing := 0
	tw := tabwriter.NewWriter(w, 0, 1, 3, ' ', 0)
	fmt.Fprintln(tw, "\nTARGET\tTO REACH\tMEASURED\tSTATUS\tCEILING\t")
	outcomes := target.Judge(r, target.Table())
	for _, o := range outcomes {
		if o.Status == target.NotMeasured {
			missing++
			continue
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t\n", o.What, bound(o), figure(o), o.Status, atBest(o))
	}
	if missing == len(outcomes) {
		return nil
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d of %d targets are not measured by this run\n", missing, len(outcomes))
	return err
}
