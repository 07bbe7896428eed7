// SPDX-License-Identifier: Apache-2.0

package prog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/test/progrun/testrun"
)

// Workload is prog. It keeps loaded programs from one case to the next, because
// loading takes seconds; Close unloads them.
type Workload struct {
	mu   sync.Mutex
	idle []*testrun.Host
}

// Name is the workload's on the command line.
func (*Workload) Name() string { return "prog" }

// About says what it measures.
func (*Workload) About() string {
	return "ns per packet of each program and path, by BPF_PROG_TEST_RUN, and its ratio to an empty program"
}

// Arms are the program and the empty one.
func (*Workload) Arms() []plan.Arm { return []plan.Arm{plan.EBPF, plan.Empty} }

// tables are what the flow table has in it.
var tables = []string{"empty", "64k", "90pct"}

// programs by the names that the user sees.
var programs = map[testrun.Program]string{
	testrun.FromContainer: "from_container", testrun.ToContainer: "to_container",
	testrun.FromUplink: "from_uplink", testrun.ToUplink: "to_uplink",
}

// Cases are every path in both families, with those tables that matter to it. What a service
// costs is a difference to a path that bench-check has.
func (*Workload) Cases(s plan.Selection) []plan.Case {
	var cases []plan.Case
	for _, family := range s.FamiliesOr(plan.IPv4, plan.IPv6) {
		for _, p := range paths(family == plan.IPv6) {
			ofService := p.pools() != pools{}
			for _, table := range tables {
				if table != "empty" && (p.kind == without || ofService || s.Short) || ofService && s.Short {
					continue
				}
				cases = append(cases, p.caseOf(family, table))
			}
		}
	}
	return cases
}

// visits are the cases of flows from outside to a published port, which are up at the same
// time: what a service costs is their difference.
const visits = "visits-"

func (p path) caseOf(family plan.Family, table string) plan.Case {
	var group string
	if p.kind == opens && p.run.Program == testrun.FromUplink && table == "empty" {
		group = visits + string(family)
	}
	return plan.Case{
		Group:  group,
		Family: family,
		Params: []plan.Param{
			{Key: "program", Value: programs[p.run.Program]}, {Key: "path", Value: p.name},
			{Key: "flow", Value: string(p.kind)}, {Key: "table", Value: table},
		},
		Metrics: []plan.Metric{plan.NsPerPacket},
		// The time of a packet is known after some thousand.
		Slice: 25 * time.Millisecond,
	}
}

// Start sets up a program with a table, or the empty program.
func (w *Workload) Start(_ context.Context, _ plan.Env, s plan.Subject) (plan.Instance, error) {
	v6 := s.Case.Family == plan.IPv6
	for _, p := range paths(v6) {
		if s.Case.Name() == p.caseOf(s.Case.Family, s.Case.Value("table")).Name() {
			return w.start(s, p, v6)
		}
	}
	return nil, fmt.Errorf("no path for %s", s.Case.Name())
}

func (w *Workload) start(s plan.Subject, p path, v6 bool) (plan.Instance, error) {
	h, err := w.take()
	if err != nil {
		return nil, err
	}
	in := &instance{workload: w, host: h, path: p, v6: v6, table: s.Case.Value("table"), empty: s.Arm == plan.Empty, entries: newFlowTable(h, v6)}
	if err := in.setUp(); err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return in, nil
}

// room is how many entries each flow table has: a connection has two.
const room = 1 << 18

func (w *Workload) take() (*testrun.Host, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.idle); n > 0 {
		h := w.idle[n-1]
		w.idle = w.idle[:n-1]
		return h, nil
	}
	return testrun.Open(testrun.Options{MaxEntries: map[string]uint32{"flows4": room, "flows6": room}})
}

func (w *Workload) give(h *testrun.Host) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle = append(w.idle, h)
}

// Close unloads all programs. Every instance has been closed before.
func (w *Workload) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, h := range w.idle {
		errs = append(errs, h.Close())
	}
	w.idle = nil
	return errors.Join(errs...)
}
