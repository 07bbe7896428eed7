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
// that doesn't fit below memoryLimit gets twice its size: there gcPercent alone says
// when to collect, where a fixed limit would have the collector run all the time.
func limitFor(live uint64) int64 { return max(memoryLimit, int64(2*live)) }

// quiet is how long nothing is collected before what a burst of work has left is given back to
// the kernel, and worthwhile what makes that worth another collection.
const (
	quiet      = 10 * time.Second
	worthwhile = memoryLimit / 2
)

// heap is garbage from the moment that it is made, so that each collection finds it.
type heap struct {
	limit  int64
	sample []metrics.Sample
	rest   *rest
}

// followHeap sets the memory limit, now and after every collection, and gives memory back when
// none has followed for a while.
func followHeap(quiet time.Duration) {
	r := &rest{after: quiet}
	// It begins when something was collected.
	r.timer = time.AfterFunc(math.MaxInt64, r.begin)
	h := &heap{sample: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}, rest: r}
	h.collected()
}

// rest is what follows work. It doesn't know the heap, which would be no garbage then.
type rest struct {
	after time.Duration
	timer *time.Timer
	// own says that the next collection is the rest's.
	own atomic.Bool
}

func (r *rest) begin() {
	all := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(all)
	if all[0].Value.Uint64()+all[1].Value.Uint64() < worthwhile {
		return
	}
	r.own.Store(true)
	debug.FreeOSMemory()
}

func (h *heap) collected() {
	metrics.Read(h.sample)
	// Setting it stops the world: small differences aren't worth that.
	if want := limitFor(h.sample[0].Value.Uint64()); want > h.limit || want < h.limit-h.limit/4 {
		h.limit = want + (want-memoryLimit)/4
		debug.SetMemoryLimit(h.limit)
	}
	if !h.rest.own.Swap(false) {
		h.rest.timer.Reset(h.rest.after)
	}
	runtime.SetFinalizer(h, (*heap).collected)
}
