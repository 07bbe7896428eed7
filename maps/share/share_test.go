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
			before, err := table.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			u.Opened[IPv6] += c.meanwhile
			put(u)
			found := make([]uint32, All+1)
			found[slot] = c.found
			if err := table.Correct(IPv6, found, before); err != nil {
				t.Fatal(err)
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
