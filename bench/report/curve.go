// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/result"
	"github.com/fairway-project/fairway/bench/stat"
)

// curve is a plot of a metric over a parameter, with a line per arm. Its x axis is
// logarithmic: what a hundred more ports cost matters at one and not at ten
// thousand.
type curve struct {
	title, axis string
	unit        string
	arms        []plan.Arm
	points      map[plan.Arm][]point
}

type point struct {
	x float64
	y stat.Interval
}

// curves joins the cases with an axis that differ in nothing else.
func curves(r *result.Run) []curve {
	var all []curve
	at := make(map[string]int)
	for _, c := range r.Cases {
		x, err := strconv.ParseFloat(c.Value(c.Axis), 64)
		if c.Axis == "" || err != nil || len(c.Metrics) == 0 {
			continue
		}
		title := c.Workload + " " + c.Without(c.Axis)
		i, ok := at[title]
		if !ok {
			i = len(all)
			at[title] = i
			all = append(all, curve{title: title, axis: c.Axis, unit: c.Metrics[0].Unit, points: map[plan.Arm][]point{}})
		}
		for _, a := range c.Arms {
			all[i].add(a.Arm, point{x, stat.MedianInterval(a.Values(0))})
		}
	}
	return slices.DeleteFunc(all, func(c curve) bool { return len(c.xs()) < 2 })
}

func (c *curve) add(a plan.Arm, p point) {
	if !slices.Contains(c.arms, a) {
		c.arms = append(c.arms, a)
	}
	c.points[a] = append(c.points[a], p)
	slices.SortFunc(c.points[a], func(a, b point) int { return int(a.x - b.x) })
}

func (c *curve) xs() []float64 {
	var all []float64
	for _, points := range c.points {
		for _, p := range points {
			all = append(all, p.x)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (c *curve) ys() []float64 {
	// The axis begins at 0: a difference looks as large as it is.
	all := []float64{0}
	for _, points := range c.points {
		for _, p := range points {
			all = append(all, p.y.Low, p.y.Mid, p.y.High)
		}
	}
	return all
}

func (c *curve) svg() string {
	const width, height, left, right, top, bottom = 720, 420, 80, 150, 40, 50
	out := newCanvas(width, height, c.title)
	// A log scale has no 0, which "none present" is: it stands where 1 would.
	x := newScale(positive(c.xs()), true, left, width-right)
	y := newScale(c.ys(), false, height-bottom, top)
	for _, t := range y.ticks() {
		if t >= 0 {
			out.line(left, y.at(t), width-right, y.at(t), grey, 1)
			out.text(left-8, y.at(t)+4, "end", label(t), "")
		}
	}
	for _, v := range c.xs() {
		out.line(x.at(max(v, 1)), height-bottom, x.at(max(v, 1)), height-bottom+5, black, 1)
		out.text(x.at(max(v, 1)), height-bottom+19, "middle", fmt.Sprint(int(v)), "")
	}
	out.line(left, height-bottom, width-right, height-bottom, black, 1)
	out.text((left+width-right)/2, height-10, "middle", c.axis+" (logarithmic)", "")
	out.text(18, (top+height-bottom)/2, "middle", c.unit, fmt.Sprintf(`transform="rotate(-90 18 %d)"`, (top+height-bottom)/2))
	for i, a := range c.arms {
		c.draw(out, a, x, y)
		out.dot(width-right+20, float64(top+10+i*20), colour(a))
		out.text(width-right+30, float64(top+14+i*20), "start", string(a), "")
	}
	return out.end()
}

func (c *curve) draw(out *canvas, a plan.Arm, x, y scale) {
	points := c.points[a]
	for i, p := range points {
		px := x.at(max(p.x, 1))
		if i > 0 {
			last := points[i-1]
			out.line(x.at(max(last.x, 1)), y.at(last.y.Mid), px, y.at(p.y.Mid), colour(a), 2)
		}
		out.line(px, y.at(p.y.Low), px, y.at(p.y.High), colour(a), 1.5)
		out.dot(px, y.at(p.y.Mid), colour(a))
	}
}

func positive(values []float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = max(v, 1)
	}
	return out
}
