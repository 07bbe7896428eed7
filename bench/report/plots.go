// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/fairway-project/fairway/bench/result"
)

// plot is a picture in a file.
type plot struct {
	workload, title, file string
	svg                   string
}

func (p plot) write(w io.Writer) error {
	_, err := io.WriteString(w, p.svg)
	return err
}

// plots are all of a run: the ratios of each workload, and its curves.
func plots(r *result.Run) []plot {
	var all []plot
	taken := make(map[string]int)
	add := func(kind, title, svg string) {
		workload, _, _ := strings.Cut(strings.ReplaceAll(title, ":", " "), " ")
		name := workload + "-" + kind
		taken[name]++
		if n := taken[name]; n > 1 {
			name = fmt.Sprintf("%s-%d", name, n)
		}
		all = append(all, plot{workload, title, name + ".svg", svg})
	}
	for _, f := range forests(r) {
		add("ratios", f.title, f.svg())
	}
	for _, c := range curves(r) {
		add("curve", c.title, c.svg())
	}
	return all
}
