// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"sync"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/request"
)

// dropSpan is how far back the status looks for drops.
const dropSpan = time.Minute

// samplePeriod is the time between two samples; reading all counters isn't free.
const samplePeriod = 10 * time.Second

// dropWindow keeps samples of the drop counters, to tell recent drops from the
// sum since the datapath was set up.
type dropWindow struct {
	mu      sync.Mutex
	samples []dropSample
}

type dropSample struct {
	at    time.Time
	drops []datapath.Drop
}

// due reports whether it is time for another sample.
func (w *dropWindow) due(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.samples) == 0 || now.Sub(w.samples[len(w.samples)-1].at) >= samplePeriod
}

// add notes the counters at a time and forgets samples that are older than it
// takes to know what they were a span ago.
func (w *dropWindow) add(at time.Time, drops []datapath.Drop) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.samples = append(w.samples, dropSample{at, drops})
	for len(w.samples) > 1 && !w.samples[1].at.After(at.Add(-dropSpan)) {
		w.samples = w.samples[1:]
	}
}

// recent returns what was dropped in the last span, reasons without drops left
// out. Before a span has passed it counts from the first sample, and nothing before it.
func (w *dropWindow) recent(at time.Time, now []datapath.Drop) request.RecentDrops {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := request.RecentDrops{Drops: []datapath.Drop{}}
	if len(w.samples) == 0 {
		return r
	}
	r.Seconds = at.Sub(w.samples[0].at).Seconds()
	type key struct {
		reason    string
		direction datapath.Direction
	}
	before := make(map[key]datapath.Counter)
	for _, d := range w.samples[0].drops {
		before[key{d.Reason, d.Direction}] = d.Counter
	}
	for _, d := range now {
		was := before[key{d.Reason, d.Direction}]
		if d.Packets <= was.Packets {
			continue
		}
		d.Packets -= was.Packets
		d.Bytes -= min(was.Bytes, d.Bytes)
		r.Drops = append(r.Drops, d)
	}
	return r
}
