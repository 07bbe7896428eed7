// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"math"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/result"
)

// forest is a plot of ratios with their intervals, a row for each comparison of a
// workload's first metric; a line at 1 is where nothing differs. The scale is
// logarithmic: half as much is as far from 1 as twice as much.
type forest struct {
	title string
	rows  []forestRow
}

type forestRow struct {
	name string
	result.Comparison
}

// forests are one per workload, and more if one would have too many rows to read.
func forests(r *result.Run) []forest {
	const most = 60
	var all []forest
	last := ""
	for _, c := range r.Cases {
		for _, cmp := range c.Comparisons() {
			if len(c.Metrics) == 0 || cmp.Metric != c.Metrics[0] {
				continue
			}
			if c.Workload != last || len(all[len(all)-1].rows) >= most {
				title := fmt.Sprintf("%s: ratio of %s, %s over others", c.Workload, cmp.Metric.Unit, cmp.Arm)
				all, last = append(all, forest{title: title}), c.Workload
			}
			f := &all[len(all)-1]
			f.rows = append(f.rows, forestRow{c.Name(), cmp})
		}
	}
	return all
}

func (f forest) svg() string {
	const width, left, right, top, bottom, rowHeight = 960, 520, 150, 50, 40, 20
	height := float64(top + bottom + rowHeight*len(f.rows))
	out := newCanvas(width, height, f.title)
	values := []float64{1}
	for _, r := range f.rows {
		for _, v := range []float64{r.Ratio.Low, r.Ratio.Mid, r.Ratio.High} {
			if v > 0 && !math.IsInf(v, 0) {
				values = append(values, v)
			}
		}
	}
	x := newScale(values, true, left, width-right)
	for _, t := range x.ticks() {
		out.line(x.at(t), top-10, x.at(t), height-bottom, grey, 1)
		out.text(x.at(t), height-bottom+18, "middle", label(t), "")
	}
	out.line(x.at(1), top-10, x.at(1), height-bottom, black, 1.5)
	for i, r := range f.rows {
		f.draw(out, r, x, float64(top+rowHeight*i+5), left, width-right)
	}
	return out.end()
}

func (f forest) draw(out *canvas, r forestRow, x scale, y, left, right float64) {
	over := string(r.Over)
	if r.Same {
		over += " (A/A)"
	}
	out.text(left-10, y+4, "end", r.name+" over "+over, `font-size="10"`)
	if !r.Ratio.Valid() {
		return
	}
	paint := colour(plan.EBPF)
	switch {
	case r.Same, r.Verdict() == result.Even:
		paint = "#888888"
	case isCeiling(r.Over):
		paint = "#222222"
	case r.Verdict() == result.Loses:
		paint = colour(plan.IPTables)
	}
	out.line(x.at(r.Ratio.Low), y, x.at(r.Ratio.High), y, paint, 2)
	out.dot(x.at(r.Ratio.Mid), y, paint)
	out.text(right+8, y+4, "start", ratio(r.Ratio), `font-size="10"`)
}
