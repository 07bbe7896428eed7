// SPDX-License-Identifier: Apache-2.0

package maglev

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Backend is one that a table leads to.
type Backend struct {
	// Name tells it from the others, and is the same for as long as it is the same backend.
	Name string
	// Weight is its part of all clients beside the others' weights; none get to it with 0.
	Weight int
}

// sizes are primes, each near the double of the one before.
var sizes = [...]int{251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071, 262139}

// Size returns how many places a table for so many backends has: two hundred for each at least,
// or the largest size that there is, which has so many for 1,310. So each backend gets its part
// within 1 %, and one in a hundred that comes or goes moves no more than 1 % of the others'
// clients: those that come by the places which it takes from others, or leaves to them.
func Size(backends int) int {
	for _, size := range sizes {
		if size >= 200*backends {
			return size
		}
	}
	return sizes[len(sizes)-1]
}

// Table returns which backend, by its index, each of size places leads to; size is one of
// those that Size returns. It is nil if no backend has a weight. The order of the backends
// changes nothing but their indices. Names are unique.
func Table(backends []Backend, size int) []uint16 {
	turns := inTurn(backends, size)
	if len(turns) == 0 {
		return nil
	}
	const free = ^uint16(0)
	table := slices.Repeat([]uint16{free}, size)
	for taken := 0; ; {
		for i := range turns {
			t := &turns[i]
			if t.credit += t.weight; t.credit < turns[0].heaviest {
				continue
			}
			t.credit -= turns[0].heaviest
			for table[t.place] != free {
				t.step(size)
			}
			table[t.place] = t.index
			if taken++; taken == size {
				return table
			}
		}
	}
}

// turn is a backend on its way through the places, in an order of its own.
type turn struct {
	index    uint16
	weight   int
	heaviest int
	// credit is what the backend has saved up for its next place, which costs as much as
	// the heaviest backend gets in each round.
	credit int
	place  int
	skip   int
}

func (t *turn) step(size int) {
	if t.place += t.skip; t.place >= size {
		t.place -= size
	}
}

// inTurn returns the backends that have a weight, in the order in which they choose.
func inTurn(backends []Backend, size int) []turn {
	var turns []turn
	heaviest := 0
	for i, b := range backends {
		if b.Weight > 0 {
			hash := xxhash.Sum64String(b.Name)
			turns = append(turns, turn{
				index:  uint16(i),
				weight: b.Weight,
				place:  int(hash >> 32 % uint64(size)),
				skip:   1 + int(hash&0xffffffff%uint64(size-1)),
			})
			heaviest = max(heaviest, b.Weight)
		}
	}
	slices.SortFunc(turns, func(a, b turn) int {
		return cmp.Compare(backends[a.index].Name, backends[b.index].Name)
	})
	for i := range turns {
		turns[i].heaviest = heaviest
	}
	return turns
}
