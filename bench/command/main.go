// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fairway-project/fairway/bench"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/userspace/request"
)

// programName is what it is called.
const programName = "fairway-bench"

const long = `Measure the datapath beside other ways to carry the same traffic.

Every workload builds a LAN host, a host and containers out of namespaces and runs
all arms in short slices in random order; slices during which others used the
machine are discarded and repeated. Printed are the median of each arm and the
ratio of the first arm to each other one with a 95 % interval; A/A is the first
arm against itself, which shows the noise.

Nothing outside of namespaces of its own is changed. Needs root and a quiet machine.

Exit codes: 0 for done, 1 if it failed or --check found something slower, 2 for a
command line that can't work.`

// Exit codes.
const (
	exitError = 1
	exitUsage = 2
)

// Main runs one command line and returns the exit code.
func Main(stdout, stderr io.Writer, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	cmd := newCommand(stdout, stderr, Run)
	cmd.SetArgs(args)
	return exitCode(stderr, cmd.ExecuteContext(ctx))
}

// newCommand gives what it reads to measure.
func newCommand(stdout, stderr io.Writer, measure func(context.Context, Options) error) *cobra.Command {
	o := Options{Stdout: stdout, Stderr: stderr, Terminal: isTerminal(stderr)}
	cmd := &cobra.Command{
		Use:   programName + " [OPTIONS] [WORKLOAD...]",
		Short: "Measure the datapath beside others (root)",
		Long:  long,
		Example: "  fairway-bench --list\n" +
			"  fairway-bench pps --arms ebpf,iptables,veth --pairs 20\n" +
			"  fairway-bench --out report",
		Args:                  cobra.ArbitraryArgs,
		Version:               version(),
		SilenceErrors:         true,
		SilenceUsage:          true,
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     completeWorkloads,
	}
	cmd.SetVersionTemplate(programName + " {{.Version}}\n")
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usagef("%v", err) })
	o.define(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.Workloads = args
		return measure(cmd.Context(), o)
	}
	return cmd
}

func (o *Options) define(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.List, "list", false, "list the workloads")
	f.StringSliceVar(&o.Arms, "arms", nil, "arms, the one to compare to the others first (default all of the workload)")
	f.IntSliceVar(&o.Flows, "flows", nil, "numbers of flows (default the workload's)")
	f.StringSliceVar(&o.Families, "family", nil, "ipv4, ipv6 (default the workload's)")
	f.StringVar(&o.Match, "match", "", "only cases whose name matches this regular expression")
	f.IntVar(&o.Pairs, "pairs", 20, "slices of each arm")
	f.DurationVar(&o.Slice, "slice", 0, "length of a slice (default what suits the case)")
	f.DurationVar(&o.Budget, "budget", 0, "with fewer pairs if that is needed to be ready in this time")
	f.Uint64Var(&o.Seed, "seed", 0, "seed of the order of slices (default a random one, which is reported)")
	f.IntVar(&o.CPU, "cpu", 0, "CPU to pin to")
	f.StringVar(&o.Out, "out", "", "directory for raw.txt, summary.json, report.md and plots")
	f.BoolVar(&o.JSON, "json", false, "print the summary as JSON")
	f.BoolVar(&o.Wait, "wait", false, "wait for another benchmark to end")
	f.BoolVar(&o.AllowBusy, "allow-busy", false, "count slices in which others used the machine, and say so")
	f.BoolVar(&o.CrossCheck, "cross-check", false, "run iperf3, sockperf and wrk beside the own load")
	f.StringVar(&o.Check, "check", "", "measure a short form and fail if prog is over 10 % slower than this file says")
	f.StringVar(&o.Update, "update", "", "write prog's ratios to the empty program to this file")
	f.StringVar(&o.Fairway, "fairway", "", "program whose daemons are measured (default the one beside this program, then PATH's)")
	complete(cmd, "arms", cobra.FixedCompletions(armNames(), cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "family", cobra.FixedCompletions([]cobra.Completion{"ipv4", "ipv6"}, cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "out", cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs))
	for _, flag := range []string{"check", "update", "fairway"} {
		complete(cmd, flag, cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault))
	}
	for _, flag := range []string{"flows", "match", "pairs", "slice", "budget", "seed", "cpu"} {
		complete(cmd, flag, cobra.NoFileCompletions)
	}
}

func complete(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // the flag is not defined: a mistake in this package
	}
}

// completeWorkloads offers those that aren't on the line yet.
func completeWorkloads(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var left []cobra.Completion
	for _, w := range bench.Workloads() {
		if !slices.Contains(args, w.Name()) {
			left = append(left, cobra.CompletionWithDesc(w.Name(), w.About()))
		}
	}
	return left, cobra.ShellCompDirectiveNoFileComp
}

func armNames() []cobra.Completion {
	var all []cobra.Completion
	for _, a := range plan.Arms() {
		all = append(all, cobra.Completion(a))
	}
	return all
}

// exitCode prints err, one line for each error that was joined.
func exitCode(w io.Writer, err error) int {
	var exit *exec.ExitError
	var usage *UsageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		// What ran in namespaces of its own has said why.
		return exit.ExitCode()
	case errors.As(err, &usage):
		fmt.Fprintf(w, "%s: %s; see \"%s --help\"\n", programName, usage, programName)
		return exitUsage
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "%s: %s\n", programName, strings.TrimSuffix(line, "\n"))
	}
	return exitError
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func version() string {
	v := request.BuildVersion()
	return strings.TrimSpace(v.Version + " " + v.Commit)
}
