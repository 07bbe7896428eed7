// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// memoryLimit keeps the daemon below 64 MiB resident with 500 endpoints and 10,000
// ports: near it the garbage collector runs more often.
const memoryLimit = 40 << 20

// limitFor is the memory limit for what was live at the last collection. A state
// that doesn't fit below memoryLimit gets twice its size: there gcPercent alone says
// when to collect, where a fixed limit would have the collector run all the time.
func limitFor(live uint64) int64 { return max(memoryLimit, int64(2*live)) }

// heap is garbage from the moment that it is made, so that each collection finds it.
type heap struct {
	limit  int64
	sample []metrics.Sample
}

// followHeap sets the memory limit, now and after every collection.
func followHeap() {
	h := &heap{sample: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}}
	h.collected()
}

func (h *heap) collected() {
	metrics.Read(h.sample)
	// Setting it stops the world: small differences aren't worth that.
	if want := limitFor(h.sample[0].Value.Uint64()); want > h.limit || want < h.limit-h.limit/4 {
		h.limit = want + (want-memoryLimit)/4
		debug.SetMemoryLimit(h.limit)
	}
	runtime.SetFinalizer(h, (*heap).collected)
}
