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
var sizes = [...]int{251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071}

// Size returns how many places a table for so many backends has: two hundred for each at least,
// or the largest size that there is, which has so many for 655. So each backend gets its part
// within 1 %, and one in a hundred that comes or goes moves no more than 1 % of the others'
// clients: those that come by the places which it takes from others, or leaves to them. Of a
// thousand it moves 1.3 % at most; a larger table would take longer to make than its clients
// should wait for a backend.
func Size(backends int) int {
	for _, size := range sizes {
		if size >= 200*backends {
			return size
		}
	}
	return sizes[len(sizes)-1]
}

// Table returns which backend, by its index, each of size places leads to; size is one of
// those that Size returns. It is nil if no backend has a weight. Whoever has one has a place, if
// there are as many. The order of the backends
// changes nothing but their indices. Names are unique.
func Table(backends []Backend, size int) []uint16 {
	turns := inTurn(backends, size)
	if len(turns) == 0 {
		return nil
	}
	table, taken, rounds := make([]uint16, size), make(places, (size+63)/64), roundsOf(turns)
	for left, now := size, 0; ; now++ {
		for _, i := range rounds.at(now) {
			t := &turns[i]
			place := taken.free(t.place, t.skip, uint32(size))
			table[place], t.place = t.index, place
			taken.take(place)
			if left--; left == 0 {
				return table
			}
			rounds.put(now+t.pause(rounds.price), i)
		}
		rounds.clear(now)
	}
}

// rounds are who chooses a place in each of the next rounds: the heaviest in all, others in as
// many as their weights are worth. Only those are looked at whose turn it is: one that weighs as
// much as 256 others has a thousand rounds before them.
type rounds struct {
	// price is what a place costs: what the heaviest gets in each round.
	price int
	// of is used round and round: nobody pauses for longer.
	of [][]int32
}

// roundsOf has everybody choose in the first round, on credit: the lightest may never come to a
// place else.
func roundsOf(turns []turn) *rounds {
	heaviest, lightest := turns[0].weight, turns[0].weight
	for _, t := range turns {
		heaviest, lightest = max(heaviest, t.weight), min(lightest, t.weight)
	}
	r := &rounds{price: heaviest, of: make([][]int32, 1+2*heaviest/lightest)}
	for i := range turns {
		r.put(0, int32(i))
	}
	return r
}

func (r *rounds) at(round int) []int32 { return r.of[round%len(r.of)] }

func (r *rounds) put(round int, turn int32) {
	at := &r.of[round%len(r.of)]
	*at = append(*at, turn)
}

func (r *rounds) clear(round int) {
	at := &r.of[round%len(r.of)]
	*at = (*at)[:0]
}

// places has a bit for each. That fits into a processor's nearest cache, where the table
// itself wouldn't: most looks find a place that is taken.
type places []uint64

func (p places) take(place uint32) { p[place/64] |= 1 << (place % 64) }

// free returns the first free place from one on, by steps of skip.
func (p places) free(place, skip, size uint32) uint32 {
	for p[place/64]&(1<<(place%64)) != 0 {
		if place += skip; place >= size {
			place -= size
		}
	}
	return place
}

// turn is a backend on its way through the places, in an order of its own.
type turn struct {
	// credit is what it has saved up for its next place.
	weight, credit int
	place, skip    uint32
	index          uint16
}

// pause has the backend pay for its place, and returns in how many rounds it can pay for another.
func (t *turn) pause(price int) int {
	t.credit += t.weight - price
	rounds := max(1, (price-t.credit+t.weight-1)/t.weight)
	t.credit += (rounds - 1) * t.weight
	return rounds
}

// inTurn returns the backends that have a weight, in the order in which they choose.
func inTurn(backends []Backend, size int) []turn {
	var turns []turn
	for i, b := range backends {
		if b.Weight > 0 {
			hash := xxhash.Sum64String(b.Name)
			turns = append(turns, turn{
				index:  uint16(i),
				weight: b.Weight,
				place:  uint32(hash >> 32 % uint64(size)),
				skip:   1 + uint32(hash&0xffffffff%uint64(size-1)),
			})
		}
	}
	slices.SortFunc(turns, func(a, b turn) int {
		return cmp.Compare(backends[a.index].Name, backends[b.index].Name)
	})
	return turns
}
