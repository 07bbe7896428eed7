// SPDX-License-Identifier: Apache-2.0

package run

import (
	"testing"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/stat"
)

func TestShare(t *testing.T) {
	group := func(arms, pairs int, slice time.Duration) Group {
		return Group{Arms: [][]plan.Arm{make([]plan.Arm, arms)}, Pairs: pairs, Slice: slice}
	}
	// 3 subjects × 10 slices × 100 ms, and as many of half the length.
	groups := []Group{group(2, 9, 100*time.Millisecond), group(2, 9, 50*time.Millisecond)}
	if got := share(30*time.Second, groups); got != 20*time.Second {
		t.Errorf("first share %v", got)
	}
	if got := share(7*time.Second, groups[1:]); got != 7*time.Second {
		t.Errorf("last share %v", got)
	}
}

func TestBudgetTakesPairs(t *testing.T) {
	pairs := func(budget time.Duration) (int, *world) {
		w := newWorld(t, flows(1))
		w.options.Pairs, w.options.Budget = 40, budget
		w.script = func(e string) error {
			if e == "slice veth" {
				time.Sleep(5 * time.Millisecond)
			}
			return nil
		}
		r, err := w.run(t)
		if err != nil {
			t.Fatal(err)
		}
		return len(r.Cases[0].Arms[0].Samples), w
	}
	if got, _ := pairs(time.Hour); got != 40 {
		t.Errorf("an hour is enough for %d pairs only", got)
	}
	if got, w := pairs(100 * time.Millisecond); got >= 40 || got < stat.Fewest || w.notes.slices != 4*got {
		t.Errorf("%d pairs in 100 ms, %d slices announced", got, w.notes.slices)
	}
	// What could claim nothing would be a waste of all the rest.
	if got, _ := pairs(time.Nanosecond); got != stat.Fewest {
		t.Errorf("%d pairs without time", got)
	}
}
