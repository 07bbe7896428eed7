// SPDX-License-Identifier: Apache-2.0

package service

import (
	"errors"
	"sync/atomic"
	"testing"
)

// A change is over for whoever asked when it is in force, and for others when the kernel has
// waited for its programs.
func TestSwapsAreInForceBeforeTheyAreOver(t *testing.T) {
	table := &Table{swaps: newSwaps()}
	release := make(chan struct{})
	for slot := range uint16(maxSwaps) {
		var done atomic.Bool
		err := table.swaps.do(slot, func() error { done.Store(true); <-release; return nil }, done.Load)
		if err != nil || !done.Load() {
			t.Fatalf("swap of slot %d: %v, in force %t", slot, err, done.Load())
		}
	}
	one, all := table.Pending(3), table.AllPending()
	if len(one) != 1 || len(all) != maxSwaps || one.Over() || all.Over() {
		t.Errorf("%d are pending in slot 3, %d in all; over: %t, %t", len(one), len(all), one.Over(), all.Over())
	}
	if p := table.Pending(maxSwaps); len(p) != 0 || !p.Over() {
		t.Errorf("%d are pending in a slot that nobody has changed", len(p))
	}
	close(release)
	all.Wait()
	if !one.Over() {
		t.Error("all are over, and one of them isn't")
	}
	// There is room for others when these are over.
	failed := errors.New("refused")
	if err := table.swaps.do(1, func() error { return failed }, func() bool { return false }); !errors.Is(err, failed) {
		t.Errorf("got %v, want %v", err, failed)
	}
	table.AllPending().Wait()
	if left := table.AllPending(); len(left) != 0 {
		t.Errorf("%d are pending still", len(left))
	}
}
