// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"sync"
	"testing"

	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// The first packet of a flow on many CPUs at once opens one flow, also where its
// port is taken and each CPU draws another.
func TestConcurrentFirstPackets(t *testing.T) {
	h := rig.New(t, rig.Options{})
	threads := h.Threads(t, 4)
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			for round := range 50 {
				h.Restore(t)
				taken := f.sends(f.App, f.far()).UDP(5000, 53)
				h.Run(t, rig.Run{Program: rig.FromContainer, Device: "app", Frame: taken.Bytes()})
				for _, out := range []frame.Frame{f.sends(f.Web, f.far()).UDP(5000, 53), f.sends(f.Web, f.far()).UDP(5001, 53)} {
					sameOut(t, together(t, h, threads, rig.Run{Program: rig.FromContainer, Device: "web", Frame: out.Bytes()}))
				}
				if n := checkPairs(t, h); n != 3 || t.Failed() {
					t.Fatalf("round %d: %d flows, want 3\n%s", round, n, flowText(t, h))
				}
			}
		})
	}
}

// together runs the same packet on all threads at the same time.
func together(t *testing.T, h *rig.Host, threads []func(func()), r rig.Run) []rig.Result {
	t.Helper()
	results := make([]rig.Result, len(threads))
	errs := make([]error, len(threads))
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i, do := range threads {
		wg.Go(func() {
			do(func() {
				<-start
				results[i], errs[i] = h.RunHere(r)
			})
		})
	}
	close(start)
	wg.Wait()
	for _, err := range errs {
		check(t, err)
	}
	return results
}

func sameOut(t *testing.T, results []rig.Result) {
	t.Helper()
	for _, r := range results {
		if r.Action != rig.Redirect || string(r.Frame) != string(results[0].Frame) {
			t.Errorf("action %d, packet out\n%swant\n%s", r.Action, frame.Text(r.Frame), frame.Text(results[0].Frame))
		}
	}
}
