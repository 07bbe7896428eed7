// SPDX-License-Identifier: Apache-2.0

package maglev

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// some returns n backends of weight 1, named from the number of the first on.
func some(first, n int) []Backend {
	backends := make([]Backend, n)
	for i := range backends {
		backends[i] = Backend{Name: fmt.Sprintf("10.1.%d.%d:80", (first+i)/250, (first+i)%250), Weight: 1}
	}
	return backends
}

// names returns whom each place leads to, by name, which outlives a change of the backends.
func names(backends []Backend, table []uint16) []string {
	at := make([]string, len(table))
	for i, index := range table {
		at[i] = backends[index].Name
	}
	return at
}

func TestTableIsSpread(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 10, 81, 100, 163, 655, 1000} {
		backends := some(0, n)
		table := Table(backends, Size(n))
		counts := make([]int, n)
		for _, index := range table {
			counts[index]++
		}
		even := float64(len(table)) / float64(n)
		for i, count := range counts {
			if math.Abs(float64(count)-even) > 0.02*even {
				t.Errorf("%d backends: %s has %d places; want %.0f within 2 %%", n, backends[i].Name, count, even)
			}
		}
	}
}

func TestTableGivesWeightsTheirPart(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		backends := some(0, 2+random.IntN(40))
		sum := 0
		for i := range backends {
			backends[i].Weight = random.IntN(20)
			sum += backends[i].Weight
		}
		table := Table(backends, 16381)
		counts := make([]int, len(backends))
		for _, index := range table {
			counts[index]++
		}
		for i, b := range backends {
			want := float64(b.Weight) / float64(sum) * float64(len(table))
			if math.Abs(float64(counts[i])-want) > max(2, 0.02*want) {
				t.Errorf("weight %d of %d: %d places of %d; want %.0f", b.Weight, sum, counts[i], len(table), want)
			}
		}
	}
}

// The lightest has a place beside a crowd of the heaviest, and no more than that.
func TestTableHasAPlaceForEverybody(t *testing.T) {
	backends := some(0, 1001)
	for i := range backends[1:] {
		backends[1+i].Weight = 256
	}
	counts := make([]int, len(backends))
	for _, index := range Table(backends, Size(len(backends))) {
		counts[index]++
	}
	if counts[0] != 1 || slices.Min(counts[1:]) < 130 {
		t.Errorf("weight 1 has %d places, weight 256 has %d at least; want 1 and 130", counts[0], slices.Min(counts[1:]))
	}
}

// What one that comes or goes moves for those who weren't concerned by it.
func TestTableMovesFewOthers(t *testing.T) {
	for _, c := range []struct {
		backends int
		limit    float64
	}{{2, 0.04}, {10, 0.03}, {100, 0.013}, {500, 0.013}, {1000, 0.013}} {
		worst := 0.0
		for trial := range 10 {
			more := some(100*trial, c.backends+1)
			fewer := slices.Delete(slices.Clone(more), trial%c.backends, trial%c.backends+1)
			gone := more[trial%c.backends].Name
			size := Size(len(more))
			before, after := names(more, Table(more, size)), names(fewer, Table(fewer, size))
			moved := 0
			for i := range before {
				if before[i] != after[i] && before[i] != gone {
					moved++
				}
			}
			worst = max(worst, float64(moved)/float64(size))
		}
		if worst > c.limit {
			t.Errorf("one of %d backends: %.2f %% of the others' places moved; want %.2f %% at most",
				c.backends+1, 100*worst, 100*c.limit)
		}
	}
}

func TestTableDoesNotDependOnOrder(t *testing.T) {
	backends := some(0, 50)
	want := names(backends, Table(backends, 8191))
	rand.New(rand.NewPCG(3, 4)).Shuffle(len(backends), func(i, j int) {
		backends[i], backends[j] = backends[j], backends[i]
	})
	if got := names(backends, Table(backends, 8191)); !slices.Equal(got, want) {
		t.Error("another order of the backends makes another table")
	}
}

func TestTableOfNobody(t *testing.T) {
	for _, backends := range [][]Backend{nil, {{Name: "a"}}} {
		if table := Table(backends, 251); table != nil {
			t.Errorf("Table(%v) has %d places; want none", backends, len(table))
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int]int{0: 251, 1: 251, 2: 509, 81: 16381, 82: 32749, 100: 32749, 655: 131071, 656: 131071, 5000: 131071} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %d; want %d", n, got, want)
		}
	}
	for _, size := range sizes {
		for d := 2; d*d <= size; d++ {
			if size%d == 0 {
				t.Errorf("size %d is divisible by %d", size, d)
			}
		}
	}
}

func BenchmarkTable(b *testing.B) {
	for _, n := range []int{10, 1000} {
		backends := some(0, n)
		b.Run(fmt.Sprintf("backends=%d", n), func(b *testing.B) {
			for b.Loop() {
				Table(backends, Size(n))
			}
		})
	}
}
