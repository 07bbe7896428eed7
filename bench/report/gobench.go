// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/fairway-project/fairway/bench/facts"
	"github.com/fairway-project/fairway/bench/result"
)

// GoBench writes every sample of a run in Go's benchmark format
// (golang.org/design/14313-benchmark-format), one line per slice. Arms are the key
// arm, so benchstat compares them:
//
//	benchstat -col /arm raw.txt
//
// The first arm's second instance has the arm's name with "-again". What a sample
// hasn't in its name is a configuration line: the block of the slice is unit-less
// order, so slices of an arm are in the order of the blocks.
func GoBench(w io.Writer, rep Report) error {
	r, m := rep.Run, rep.Machine
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "seed: %d\n", r.Seed)
	for _, f := range append(append([]facts.Fact{}, m.System...), m.Versions...) {
		fmt.Fprintf(out, "%s: %s\n", configKey(f.Name), f.Value)
	}
	for _, c := range r.Cases {
		fmt.Fprintf(out, "\nworkload: %s\n", c.Workload)
		for _, u := range c.Metrics {
			fmt.Fprintf(out, "Unit %s better=%s\n", u.Unit, [...]string{"lower", "higher", "neutral"}[u.Better])
		}
		for _, a := range c.Arms {
			samples(out, c, a, string(a.Arm))
		}
		if c.Again != nil {
			samples(out, c, *c.Again, string(c.Again.Arm)+"-again")
		}
	}
	return out.Flush()
}

func samples(out *bufio.Writer, c result.Case, a result.Arm, arm string) {
	name := "Benchmark" + strings.ToUpper(c.Workload[:1]) + c.Workload[1:]
	if n := c.Name(); n != "" {
		name += "/" + n
	}
	for _, s := range a.Samples {
		fmt.Fprintf(out, "%s/arm=%s %d", name, arm, s.Ops)
		for i, v := range s.Values {
			fmt.Fprintf(out, " %g %s", v, c.Metrics[i].Unit)
		}
		fmt.Fprintln(out)
	}
}

// configKey makes a name one that the format takes: it begins with a lower-case
// letter and has no spaces.
func configKey(name string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if r == ' ' || r == ':' {
			return '-'
		}
		return r
	}, name))
}
