// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/fairway-project/fairway/bench/facts"
	"github.com/fairway-project/fairway/bench/isolate"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/progress"
	"github.com/fairway-project/fairway/bench/quiet"
	"github.com/fairway-project/fairway/bench/report"
	"github.com/fairway-project/fairway/bench/run"
)

// Run measures and reports. Outside of its namespaces it runs this program again
// in them, with the same arguments, and returns how that ended: an *exec.ExitError
// has been explained already.
func Run(ctx context.Context, o Options) error {
	if o.List {
		return List(o.Stdout)
	}
	workloads, settings, err := prepare(o)
	if err != nil {
		return err
	}
	program, err := o.program()
	if err != nil {
		return err
	}
	place, inside, err := isolate.Enter(ctx, o.Wait)
	if err != nil || !inside {
		return err
	}
	if facts.BPFStats() && !o.AllowBusy {
		return errors.New("the kernel measures every run of a program, which costs 20 ns each: sysctl kernel.bpf_stats_enabled=0")
	}
	machine, err := facts.Gather()
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(place.Dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	furnish(&settings, place, o.CPU, program, log)
	r, err := run.Run(ctx, workloads, settings)
	if err != nil {
		return errors.Join(said{err}, keepLog(o, log.Name()))
	}
	return write(o, report.Report{Run: r, Machine: machine, AllowBusy: o.AllowBusy})
}

// said is an error of the run, and not the exit code of a program that the run has started.
type said struct{ err error }

func (s said) Error() string { return s.err.Error() }

// pause is how long to wait at most for a machine to become quiet again.
const pause = 2 * time.Second

// prepare checks all that can be without measuring, outside as well as inside.
func prepare(o Options) ([]plan.Workload, run.Options, error) {
	workloads, err := o.workloads()
	if err != nil {
		return nil, run.Options{}, err
	}
	selection, err := o.selection()
	if err != nil {
		return nil, run.Options{}, err
	}
	match, err := o.match()
	if err != nil {
		return nil, run.Options{}, err
	}
	settings := run.Options{
		Selection: selection, Match: match, Pairs: o.Pairs, Slice: o.Slice, Budget: o.Budget, Seed: o.Seed, AllowBusy: o.AllowBusy,
		Pause: pause, Progress: progress.New(o.Stderr, o.Terminal),
	}
	if settings.Seed == 0 {
		settings.Seed = rand.Uint64()
	}
	if err := o.checkNumbers(); err != nil {
		return nil, settings, err
	}
	if _, err := run.Groups(workloads, settings); err != nil {
		return nil, settings, usagef("%v", err)
	}
	return workloads, settings, nil
}

// furnish fills in what only a process inside has.
func furnish(s *run.Options, p isolate.Place, cpu int, program string, log *os.File) {
	s.Meter = quiet.Meter{Proc: p.Proc, Own: p.Own}
	s.Place = run.Place{
		Dir: p.Dir, BPFFS: p.BPFFS, Proc: p.Proc, Fairway: program, CPU: cpu,
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// keepLog saves the log of a run that failed: its own place is gone afterwards.
func keepLog(o Options, path string) error {
	text, err := os.ReadFile(path)
	if err != nil || len(text) == 0 {
		return err
	}
	if o.Out == "" {
		const last = 4096
		fmt.Fprintf(o.Stderr, "%s", text[max(0, len(text)-last):])
		return nil
	}
	return errors.Join(os.MkdirAll(o.Out, 0o755), os.WriteFile(filepath.Join(o.Out, "failed.log"), text, 0o644))
}

// write prints the table, or JSON, writes the files, and does what a check says.
func write(o Options, r report.Report) error {
	var err error
	if o.JSON {
		err = report.JSON(o.Stdout, r)
	} else {
		err = report.Table(o.Stdout, r)
	}
	if err == nil && o.Out != "" {
		err = report.Files(o.Out, r)
	}
	if err != nil {
		return err
	}
	return compare(o, r)
}

func compare(o Options, r report.Report) error {
	switch {
	case o.Update != "":
		return updateBaseline(o.Update, r.Run, r.Machine)
	case o.Check != "":
		return checkBaseline(o.Stdout, o.Check, r.Run, r.Machine)
	}
	return nil
}
