// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"math"
	"slices"
	"testing"
)

func TestAbsent(t *testing.T) {
	links, err := LinkList(nil)
	if err != nil {
		t.Fatal(err)
	}
	var there []int
	for _, l := range links {
		there = append(there, l.Attrs().Index)
	}
	// The kernel gives such numbers to nobody who doesn't ask for them.
	gone := []int{math.MaxInt32 - 1, math.MaxInt32}
	for _, c := range []struct{ asked, want []int }{
		{nil, nil}, {there, nil}, {gone, gone}, {slices.Concat(gone[:1], there, gone[1:]), gone},
	} {
		if got, err := Absent(c.asked); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("of %v: %v, %v, want %v", c.asked, got, err, c.want)
		}
	}
}
