// SPDX-License-Identifier: Apache-2.0

package run

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/quiet"
	"github.com/fairway-project/fairway/bench/result"
)

func (w *world) run(t *testing.T) (*result.Run, error) {
	t.Helper()
	r, err := Run(t.Context(), []plan.Workload{w.fake}, w.options)
	if !w.notes.ended && w.notes.slices > 0 {
		t.Error("progress has no end")
	}
	return r, err
}

func TestRunMeasuresEveryArmAndTheFirstAgain(t *testing.T) {
	w := newWorld(t, flows(1))
	r, err := w.run(t)
	if err != nil {
		t.Fatal(err)
	}
	c := r.Cases[0]
	if len(c.Arms) != 3 || c.Again == nil || c.Again.Arm != plan.EBPF || c.Workload != "fake" {
		t.Fatalf("%+v", c)
	}
	for _, a := range append(c.Arms, *c.Again) {
		if len(a.Samples) != 3 || a.Proof != "counted" {
			t.Errorf("%s: %+v", a.Arm, a)
		}
	}
	for event, want := range map[string]int{
		"start ebpf": 2, "start veth": 1, "close ebpf": 2, "close veth": 1,
		// A slice to warm up, three that count; a proof after each.
		"end": 1, "slice ebpf": 8, "slice veth": 4, "prove ebpf": 4, "prove iptables": 2,
	} {
		if got := w.count(event); got != want {
			t.Errorf("%s: %d times, want %d", event, got, want)
		}
	}
	if w.notes.slices != 12 || w.notes.counted != 12 {
		t.Errorf("progress: %+v", w.notes)
	}
}

func TestRunOrderIsRandomAndOfTheSeed(t *testing.T) {
	order := func(seed uint64) string {
		w := newWorld(t, flows(1))
		w.options.Seed, w.options.Pairs = seed, 8
		if _, err := w.run(t); err != nil {
			t.Fatal(err)
		}
		return strings.Join(*w.events, "\n")
	}
	if first, again := order(1), order(1); first != again {
		t.Error("the same seed has two orders")
	}
	if order(1) == order(2) {
		t.Error("two seeds have the same order")
	}
}

func TestRunInterleavesAGroup(t *testing.T) {
	a, b := flows(1), flows(1000)
	a.Group, b.Group, b.Pairs, b.Slice = "g", "g", 2, time.Second
	w := newWorld(t, a, flows(7), b)
	w.options.Selection.Arms, w.options.Slice = []plan.Arm{plan.EBPF}, 0
	r, err := w.run(t)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range r.Cases {
		got = append(got, c.Name())
		want, slice := c.Group == 0, DefaultSlice
		if want {
			slice = time.Second
		}
		if c.Slice != slice || want != (len(c.Arms[0].Samples) == 2) {
			t.Errorf("%s: slice %v, %d samples", c.Name(), c.Slice, len(c.Arms[0].Samples))
		}
	}
	if diff := cmp.Diff([]string{"flows=1", "flows=1000", "flows=7"}, got); diff != "" {
		t.Error(diff)
	}
	if r.Cases[1].Again != nil || r.Cases[0].Again == nil {
		t.Error("a group has one A/A, in its first case")
	}
	if first := slices.Index(*w.events, "close ebpf"); first < 3+3 {
		t.Errorf("closed before the group was measured: %v", *w.events)
	}
}

func TestRunWithoutTheFirstAgain(t *testing.T) {
	c := flows(1)
	c.Single = true
	w := newWorld(t, c)
	r, err := w.run(t)
	if err != nil {
		t.Fatal(err)
	}
	if r.Cases[0].Again != nil || w.count("start ebpf") != 1 || w.notes.slices != 9 || w.notes.counted != 9 {
		t.Errorf("%+v, %v, progress %+v", r.Cases[0], *w.events, w.notes)
	}
}

func TestRunSelects(t *testing.T) {
	onVeth := flows(9)
	onVeth.Arms = []plan.Arm{plan.Veth}
	w := newWorld(t, flows(1), flows(64), onVeth)
	w.options.Match = regexp.MustCompile(`flows=(64|9)$`)
	w.options.Selection.Arms = []plan.Arm{plan.Veth, plan.Docker, plan.EBPF}
	r, err := w.run(t)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cases) != 2 || r.Cases[0].Flows != 64 || len(r.Cases[0].Arms) != 2 || r.Cases[0].Arms[0].Arm != plan.Veth || len(r.Cases[1].Arms) != 1 {
		t.Errorf("%+v", r.Cases)
	}
	w.options.Match = regexp.MustCompile("none")
	if _, err := w.run(t); err == nil {
		t.Error("nothing selected: no error")
	}
	w.options.Selection.Arms = []plan.Arm{plan.Docker}
	if _, err := w.run(t); err == nil || !strings.Contains(err.Error(), "has none of the arms") {
		t.Errorf("no arm: %v", err)
	}
}

func TestRunRefusesTwoCasesOfOneName(t *testing.T) {
	w := newWorld(t, flows(1), flows(1))
	if _, err := w.run(t); err == nil {
		t.Error("no error")
	}
}

func TestRunTellsOfMissingArms(t *testing.T) {
	w := newWorld(t, flows(1))
	w.script = fail("start iptables", plan.ErrUnavailable)
	r, err := w.run(t)
	if err != nil {
		t.Fatal(err)
	}
	c := r.Cases[0]
	if len(c.Arms) != 2 || len(c.Missing) != 1 || c.Missing[0].Arm != plan.IPTables || len(w.notes.texts) != 1 {
		t.Errorf("%+v %v", c, w.notes.texts)
	}
}

// Whatever fails, there is no number, and everything that was started is closed.
func TestRunFails(t *testing.T) {
	panics := func(string) error { panic("scripted") }
	for name, script := range map[string]func(string) error{
		"start": fail("start iptables", errors.New("no")),
		"slice": fail("slice iptables", plan.ErrWrongWay),
		"proof": fail("prove veth", plan.ErrWrongWay),
		"close": fail("close ebpf", errors.New("busy")),
		"panic": func(e string) error {
			if e == "slice veth" {
				return panics(e)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, flows(1))
			w.script = script
			r, err := w.run(t)
			if r != nil || err == nil || !strings.Contains(err.Error(), "fake/flows=1 on ") {
				t.Errorf("got %+v, %v", r, err)
			}
			started := w.count("start ebpf") + w.count("start veth") + w.count("start iptables")
			if name == "start" {
				started--
			}
			if closed := w.count("close ebpf") + w.count("close veth") + w.count("close iptables"); closed != started {
				t.Errorf("%d started, %d closed", started, closed)
			}
		})
	}
}

func TestRunRefusesImpossibleSamples(t *testing.T) {
	w := newWorld(t, flows(1))
	w.sample = func(plan.Subject) plan.Sample { return plan.Sample{Values: []float64{1, 2}, Ops: 1} }
	if _, err := w.run(t); err == nil {
		t.Error("no error")
	}
}

func TestRunIsInterrupted(t *testing.T) {
	w := newWorld(t, flows(1))
	ctx, cancel := context.WithCancel(t.Context())
	w.script = func(e string) error {
		if e == "slice veth" {
			cancel()
		}
		return nil
	}
	if _, err := Run(ctx, []plan.Workload{w.fake}, w.options); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if w.count("close ebpf") != 2 {
		t.Errorf("not closed: %v", *w.events)
	}
}

func TestRunAddsPercentiles(t *testing.T) {
	w := newWorld(t, flows(1))
	w.sample = func(plan.Subject) plan.Sample {
		h := plan.NewHistogram()
		for i := range int64(1000) {
			if err := h.RecordValue((i + 1) * 1000); err != nil {
				t.Error(err)
			}
		}
		return plan.Sample{Values: []float64{5}, Ops: 1000, Latency: h}
	}
	r, err := w.run(t)
	if err != nil {
		t.Fatal(err)
	}
	c := r.Cases[0]
	if at := c.Metric("p99-ns"); at != 3 || c.Arms[0].Samples[0].Values[at] < 985_000 || c.Arms[0].Samples[0].Values[at] > 995_000 {
		t.Errorf("p99 is metric %d of %+v: %v", at, c.Metrics, c.Arms[0].Samples[0])
	}
	if n := c.Arms[0].Latency.TotalCount(); n != 3000 {
		t.Errorf("%d latencies together", n)
	}
}

// loud is a meter that reads another use in every second reading.
type loud struct {
	readings []quiet.Reading
	at       int
}

func (l *loud) Read() (quiet.Reading, error) {
	r := l.readings[min(l.at, len(l.readings)-1)]
	l.at++
	return r, nil
}

// busyMeter finds the machine quiet while so many subjects warm up, and busy for a
// number of slices after that.
func busyMeter(subjects, busy int) *loud {
	l := &loud{readings: make([]quiet.Reading, 2*subjects)}
	for range busy {
		l.readings = append(l.readings, quiet.Fixed(0, 0), quiet.Fixed(time.Second, 500*time.Millisecond))
	}
	l.readings = append(l.readings, quiet.Fixed(0, 0))
	return l
}

func TestRunDiscardsBusySlices(t *testing.T) {
	w := newWorld(t, flows(1))
	w.options.Meter = busyMeter(4, 2)
	r, err := w.run(t)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Cases[0].Discarded; len(got) != 2 || got[0].Why != "steal 50 %" || r.Discarded() != 2 || len(w.notes.texts) != 2 {
		t.Errorf("discarded %+v, notes %v", got, w.notes.texts)
	}
	if r.Slices() != 12 {
		t.Errorf("%d slices count", r.Slices())
	}
}

func TestRunGivesUpOnABusyMachine(t *testing.T) {
	w := newWorld(t, flows(1))
	w.options.Pairs, w.options.Selection.Arms = 1, []plan.Arm{plan.Veth}
	w.options.Meter = busyMeter(2, 100)
	if _, err := w.run(t); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
}

func TestRunCountsBusySlicesIfAllowed(t *testing.T) {
	w := newWorld(t, flows(1))
	w.options.Meter, w.options.AllowBusy = busyMeter(4, 100), true
	r, err := w.run(t)
	if err != nil {
		t.Fatal(err)
	}
	if r.Discarded() != 12 || r.Slices() != 12 {
		t.Errorf("%d busy, %d count", r.Discarded(), r.Slices())
	}
}
