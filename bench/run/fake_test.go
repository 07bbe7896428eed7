// SPDX-License-Identifier: Apache-2.0

package run

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/quiet"
)

// fake is a workload that writes down what the engine does with it.
type fake struct {
	cases  []plan.Case
	script func(event string) error
	sample func(s plan.Subject) plan.Sample
	events *[]string
}

func (f fake) Name() string                          { return "fake" }
func (f fake) About() string                         { return "nothing" }
func (f fake) Arms() []plan.Arm                      { return []plan.Arm{plan.EBPF, plan.IPTables, plan.Veth} }
func (f fake) Cases(plan.Selection) []plan.Case      { return f.cases }
func (f fake) happens(what string, a plan.Arm) error { return f.event(what + " " + string(a)) }

func (f fake) event(text string) error {
	*f.events = append(*f.events, text)
	if f.script == nil {
		return nil
	}
	return f.script(text)
}

func (f fake) Start(_ context.Context, env plan.Env, s plan.Subject) (plan.Instance, error) {
	for _, dir := range []string{env.Dir, env.Netns} {
		if _, err := os.Stat(dir); err != nil {
			return nil, err
		}
	}
	return fakeInstance{f, s}, f.happens("start", s.Arm)
}

func (f fake) Close() error { return f.event("end") }

type fakeInstance struct {
	fake
	subject plan.Subject
}

func (i fakeInstance) Slice(context.Context, time.Duration) (plan.Sample, error) {
	if err := i.happens("slice", i.subject.Arm); err != nil {
		return plan.Sample{}, err
	}
	if i.sample != nil {
		return i.sample(i.subject), nil
	}
	return plan.Sample{Values: []float64{1}, Ops: 1}, nil
}

func (i fakeInstance) Prove(context.Context) (plan.Proof, error) {
	return plan.Proof{Text: "counted"}, i.happens("prove", i.subject.Arm)
}

func (i fakeInstance) Close() error { return i.happens("close", i.subject.Arm) }

// progress that keeps the notes.
type notes struct {
	slices, counted int
	texts           []string
	ended           bool
}

func (n *notes) Begin(slices int)             { n.slices = slices }
func (n *notes) Case(string)                  {}
func (n *notes) Slice(plan.Subject, int, int) {}
func (n *notes) Fewer(slices int)             { n.slices -= slices }
func (n *notes) Counted()                     { n.counted++ }
func (n *notes) Note(text string)             { n.texts = append(n.texts, text) }
func (n *notes) End()                         { n.ended = true }

// calm is a meter of a machine on which nothing happens.
type calm struct{}

func (calm) Read() (quiet.Reading, error) { return quiet.Reading{}, nil }

type world struct {
	fake
	options Options
	notes   *notes
}

func newWorld(t *testing.T, cases ...plan.Case) *world {
	t.Helper()
	for i := range cases {
		cases[i].Metrics = []plan.Metric{plan.NsPerPacket}
	}
	dir := t.TempDir()
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left: %v %v", left, err)
		}
	})
	n := &notes{}
	return &world{
		fake: fake{cases: cases, events: new([]string)}, notes: n,
		options: Options{
			Pairs: 3, Slice: time.Millisecond, Pause: 40 * time.Microsecond, Seed: 1, Meter: calm{}, Progress: n,
			Place: Place{Dir: dir, BPFFS: dir, Log: slog.New(slog.DiscardHandler)},
		},
	}
}

func (w *world) count(event string) (n int) {
	for _, e := range *w.events {
		if e == event {
			n++
		}
	}
	return n
}

func flows(n int) plan.Case { return plan.Case{Flows: n} }

func fail(event string, err error) func(string) error {
	return func(e string) error {
		if e == event {
			return fmt.Errorf("scripted: %w", err)
		}
		return nil
	}
}
