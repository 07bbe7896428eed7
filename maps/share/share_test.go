// SPDX-License-Identifier: Apache-2.0

package share

import (
	"testing"

	"github.com/fairway-project/fairway/maps/maptest"
	"github.com/fairway-project/fairway/maps/object"
)

// What the programs count is corrected by what a walk proves, and by no more.
func TestCorrect(t *testing.T) {
	const slot = 3
	for name, c := range map[string]struct {
		opened, ended, meanwhile, found uint32
		want                            int32
	}{
		"right":                     {5, 2, 0, 3, 3},
		"opened by older programs":  {0, 0, 0, 7, 7},
		"and ended by newer ones":   {0, 4, 0, 3, 3},
		"begun anew with a leak":    {9, 0, 0, 4, 4},
		"came during the walk":      {5, 0, 2, 5, 7},
		"came, and drifted besides": {5, 0, 2, 10, 8},
		"wrapped":                   {2, ^uint32(0), 0, 3, 3},
	} {
		t.Run(name, func(t *testing.T) {
			m := maptest.New(t)
			table := New(m)
			put := func(u object.DatapathFlowUse) {
				if err := m.FlowUses.Put(uint32(slot), &u); err != nil {
					t.Fatal(err)
				}
			}
			u := object.DatapathFlowUse{}
			u.Opened[IPv6], u.Ended[IPv6] = c.opened, c.ended
			put(u)
			before, err := table.Snapshot(slot + 1)
			if err != nil {
				t.Fatal(err)
			}
			u.Opened[IPv6] += c.meanwhile
			put(u)
			found := make([]uint32, All+1)
			found[slot] = c.found
			now, err := table.Correct(IPv6, found, before)
			if err != nil {
				t.Fatal(err)
			}
			if got := now.Open(slot); got[IPv6] != c.want {
				t.Errorf("the next walk begins with %v, want %d", got, c.want)
			}
			got, err := table.Open(slot)
			if err != nil {
				t.Fatal(err)
			}
			if want := (Counts{0, c.want}); got != want {
				t.Errorf("%v are open, want %v", got, want)
			}
		})
	}
}

// A snapshot has the slots that were asked for, and what is counted for all.
func TestSnapshotOfSomeSlots(t *testing.T) {
	m := maptest.New(t)
	table := New(m)
	for slot, opened := range map[int]uint32{0: 1, 1: 2, 2: 4, All - 1: 8, All: 16} {
		u := object.DatapathFlowUse{}
		u.Opened[IPv4] = opened
		if err := m.FlowUses.Put(uint32(slot), &u); err != nil {
			t.Fatal(err)
		}
	}
	for slots, want := range map[int][]int32{
		0: {0, 0, 0, 0, 16}, 2: {1, 2, 0, 0, 16}, 3: {1, 2, 4, 0, 16}, All: {1, 2, 4, 8, 16},
	} {
		s, err := table.Snapshot(slots)
		if err != nil {
			t.Fatal(err)
		}
		for i, slot := range []int{0, 1, 2, All - 1, All} {
			if got := s.Open(slot)[IPv4]; got != want[i] {
				t.Errorf("of %d slots, slot %d: %d, want %d", slots, slot, got, want[i])
			}
		}
		// Slots that weren't read aren't judged either.
		if _, err := table.Correct(IPv4, make([]uint32, All+1), s); err != nil {
			t.Fatal(err)
		}
		for i, slot := range []int{0, 1, 2, All - 1, All} {
			open, err := table.Open(slot)
			if err != nil {
				t.Fatal(err)
			}
			if corrected := open[IPv4] == 0; corrected != (slot == All || slot < slots) {
				t.Errorf("of %d slots, slot %d has %d left of %d", slots, slot, open[IPv4], want[i])
			}
			if err := m.FlowCorrections.Put(uint32(slot), &object.DatapathFlowCorrection{}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The hash's seed stays, whoever writes the shares next.
func TestSeedStays(t *testing.T) {
	m := maptest.New(t)
	table := New(m)
	for _, seed := range []uint32{7, 8} {
		if err := table.Put(Share{Others: seed}, seed); err != nil {
			t.Fatal(err)
		}
	}
	var v object.DatapathShare
	if err := m.Shares.Lookup(uint32(0), &v); err != nil {
		t.Fatal(err)
	}
	if v.Seed != 7 || v.Others != 8 {
		t.Errorf("got %+v", v)
	}
}
