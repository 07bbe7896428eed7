// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Bench is what to measure and where to report.
type Bench struct {
	// Workloads by name; none are all.
	Workloads []string
	// List only lists the workloads.
	List bool
	// Arms, the one that is compared to the others first; none are all.
	Arms []string
	// Flows and Families are empty for the workloads' own.
	Flows    []int
	Families []string
	// Match is a regular expression for names of cases, "" for all.
	Match string
	Pairs int
	// Slice is 0 for the length that suits each case.
	Slice time.Duration
	// Budget is how long all of it may take, 0 for as long as it takes.
	Budget time.Duration
	// Seed of the order of slices; 0 chooses one.
	Seed uint64
	// CPU that everything is pinned to.
	CPU int
	// Out is a directory for the reports, "" for none.
	Out  string
	JSON bool
	// Wait lets another run end first.
	Wait bool
	// AllowBusy counts slices in which others used the machine.
	AllowBusy bool
	// CrossCheck runs well-known tools beside the own load.
	CrossCheck bool
	// Check compares with the figures in a file, Update writes them.
	Check, Update string

	Stdout, Stderr io.Writer
	// Terminal says whether Stderr is one.
	Terminal bool
}

const benchLong = `Measure the datapath beside other ways to carry the same traffic.

Every workload builds a LAN host, a host and containers out of namespaces and runs
all arms in short slices in random order; slices during which others used the
machine are discarded and repeated. Printed are the median of each arm and the
ratio of the first arm to each other one with a 95 % interval; A/A is the first
arm against itself, which shows the noise.

Nothing outside of namespaces of its own is changed. Needs root and a quiet machine.`

func newBench(a *app) *cobra.Command {
	var b Bench
	cmd := &cobra.Command{
		Use:   "bench [OPTIONS] [WORKLOAD...]",
		Short: "Measure the datapath beside others (root)",
		Long:  benchLong,
		Example: "  fairway bench --list\n" +
			"  fairway bench pps --arms ebpf,iptables,veth --pairs 20\n" +
			"  fairway bench --out report",
		Args: cobra.ArbitraryArgs,
	}
	b.define(cmd)
	choices(cmd, "family", "ipv4", "ipv6")
	directories(cmd, "out")
	files(cmd, "check")
	files(cmd, "update")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if a.programs.Bench == nil {
			return errors.New("this program has no benchmark")
		}
		b.Workloads = args
		b.Stdout, b.Stderr, b.Terminal = a.env.Stdout, a.env.Stderr, isTerminal(a.env.Stderr)
		return benchError(cmd, a.programs.Bench(cmd.Context(), b))
	}
	return cmd
}

func (b *Bench) define(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&b.List, "list", false, "list the workloads")
	f.StringSliceVar(&b.Arms, "arms", nil, "arms, the one to compare to the others first (default all of the workload)")
	f.IntSliceVar(&b.Flows, "flows", nil, "numbers of flows (default the workload's)")
	f.StringSliceVar(&b.Families, "family", nil, "ipv4, ipv6 (default the workload's)")
	f.StringVar(&b.Match, "match", "", "only cases whose name matches this regular expression")
	f.IntVar(&b.Pairs, "pairs", 20, "slices of each arm")
	f.DurationVar(&b.Slice, "slice", 0, "length of a slice (default what suits the case)")
	f.DurationVar(&b.Budget, "budget", 0, "with fewer pairs if that is needed to be ready in this time")
	f.Uint64Var(&b.Seed, "seed", 0, "seed of the order of slices (default a random one, which is reported)")
	f.IntVar(&b.CPU, "cpu", 0, "CPU to pin to")
	f.StringVar(&b.Out, "out", "", "directory for raw.txt, summary.json, report.md and plots")
	f.BoolVar(&b.JSON, "json", false, "print the summary as JSON")
	f.BoolVar(&b.Wait, "wait", false, "wait for another benchmark to end")
	f.BoolVar(&b.AllowBusy, "allow-busy", false, "count slices in which others used the machine, and say so")
	f.BoolVar(&b.CrossCheck, "cross-check", false, "run iperf3, sockperf and wrk beside the own load")
	f.StringVar(&b.Check, "check", "", "measure a short form and fail if prog is over 10 % slower than this file says")
	f.StringVar(&b.Update, "update", "", "write prog's ratios to the empty program to this file")
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func benchError(cmd *cobra.Command, err error) error {
	var usage interface {
		error
		Usage()
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &usage):
		return usagef(cmd, "%s", usage)
	case errors.As(err, &exit):
		return &exitCode{code: exit.ExitCode()}
	case err != nil:
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}
