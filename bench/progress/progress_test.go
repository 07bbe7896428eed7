// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/run"
)

var _ run.Progress = (*Line)(nil)

// show runs through two slices of a case, a second each.
func show(terminal bool) string {
	var out strings.Builder
	l := New(&out, terminal)
	now := time.Unix(0, 0)
	l.now = func() time.Time { return now }
	s := plan.Subject{Case: plan.Case{Workload: "pps", Flows: 1}, Arm: plan.EBPF}
	l.Begin(4)
	l.Case(s.Case.FullName())
	for range 2 {
		l.Slice(s, 0, 2)
		now = now.Add(time.Second)
		l.Counted()
	}
	l.Note("slice discarded")
	l.Case("pps/flows=2")
	l.End()
	return out.String()
}

func TestPlain(t *testing.T) {
	want := "bench:   0 % pps/flows=1\nbench: slice discarded\nbench:  50 %, 2s left: pps/flows=2\n"
	if diff := cmp.Diff(want, show(false)); diff != "" {
		t.Error(diff)
	}
}

func TestTerminal(t *testing.T) {
	want := strings.Join([]string{
		"", "  0 % pps/flows=1 setting up", "  0 % pps/flows=1 ebpf 1/2", " 25 %, 3s left: pps/flows=1 ebpf 1/2",
		"bench: slice discarded\n", " 50 %, 2s left: pps/flows=2 setting up", "",
	}, erase)
	if diff := cmp.Diff(want, show(true)); diff != "" {
		t.Error(diff)
	}
}
