// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// memoryLimit keeps the daemon below 64 MiB resident with 500 endpoints and 10,000
// ports: near it the garbage collector runs more often.
const memoryLimit = 40 << 20

// limitFor is the memory limit for what was live at the last collection. A state
// that doesn't fit below memoryLimit gets twice its size: there largePercent alone says
// when to collect, where a fixed limit would have the collector run all the time.
func limitFor(live uint64) int64 { return max(memoryLimit, int64(2*live)) }

// percentFor is how much garbage there may be beside what is live.
func percentFor(live uint64) int {
	if live > memoryLimit {
		return largePercent
	}
	return gcPercent
}

// quiet is how long next to nothing is allocated before what a burst of work has left is given
// back to the kernel. Who allocates as much as is worthwhile in that time works: the daemon looks
// at its devices and addresses every few seconds, which is less with ten thousand of them. Memory
// of less than that isn't worth another collection.
const (
	quiet      = 10 * time.Second
	worthwhile = memoryLimit / 2
)

// largePercent is gcPercent where what is live doesn't fit below memoryLimit: half of that much is
// more memory than the processor time of some more collections is worth.
const largePercent = 25

// heap is garbage from the moment that it is made, so that each collection finds it.
type heap struct {
	limit int64
	// percent is what was set; 0 where it is the operator's affair.
	percent int
	sample  []metrics.Sample
	rest    *rest
}

// followHeap sets the memory limit, now and after every collection, and gives memory back when
// a burst of work is over. percent is what garbage there may be; 0 leaves that as it is.
func followHeap(quiet time.Duration, percent int) {
	r := &rest{after: quiet}
	// It begins when something was collected.
	r.timer = time.AfterFunc(math.MaxInt64, r.look)
	h := &heap{percent: percent, sample: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}, rest: r}
	h.collected()
}

// rest is what follows work. It doesn't know the heap, which would be no garbage then.
type rest struct {
	after time.Duration
	timer *time.Timer
	// looking says that the timer runs.
	looking atomic.Bool
	// allocated is what had been at the last look; worked says that much was then.
	allocated uint64
	worked    bool
}

// look gives memory back where there was work, and there is none any more. Nothing is done
// then before a collection follows.
func (r *rest) look() {
	all := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(all)
	allocated := all[0].Value.Uint64() - r.allocated
	r.allocated += allocated
	switch {
	case allocated >= worthwhile:
		r.worked = true
		r.timer.Reset(r.after)
		return
	case r.worked && all[1].Value.Uint64()+all[2].Value.Uint64() >= worthwhile:
		debug.FreeOSMemory()
	}
	r.worked = false
	r.looking.Store(false)
}

// soon looks after a while, unless somebody does already.
func (r *rest) soon() {
	if !r.looking.Swap(true) {
		r.timer.Reset(r.after)
	}
}

func (h *heap) collected() {
	metrics.Read(h.sample)
	live := h.sample[0].Value.Uint64()
	if want := percentFor(live); h.percent != 0 && want != h.percent {
		h.percent = want
		debug.SetGCPercent(want)
	}
	// Setting it stops the world: small differences aren't worth that.
	if want := limitFor(live); want > h.limit || want < h.limit-h.limit/4 {
		h.limit = want + (want-memoryLimit)/4
		debug.SetMemoryLimit(h.limit)
	}
	h.rest.soon()
	runtime.SetFinalizer(h, (*heap).collected)
}
