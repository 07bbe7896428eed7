// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"strconv"
	"testing"
	"time"
)

// The crowd that budgets are written for.
const (
	sandboxes = 500
	published = 10000
)

// BenchmarkControl is what users wait for on a host that is full: attaching an
// endpoint (budget 50 ms), publishing a port (2 ms), and what the daemon takes of
// the memory (64 MiB).
//
// A sandbox is one request to a real daemon; its namespace exists before.
func BenchmarkControl(b *testing.B) {
	d := startDaemon(b)
	d.crowd(b, sandboxes, published)
	b.Run("resident", func(b *testing.B) {
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(d.residentMiB(b), "MiB")
	})
	b.Run("attach", func(b *testing.B) {
		b.ReportMetric(attachTime(b, d), "ms/attach")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("publish", func(b *testing.B) {
		alone := attachTime(b, d)
		b.ReportMetric((attachTime(b, d, "40000-40999:1000-1999")-alone)/1000, "ms/port")
		b.ReportMetric(0, "ns/op")
	})
}

// attachTime is the median over b.N sandboxes, in ms.
func attachTime(b *testing.B, d *daemon, publish ...string) float64 {
	b.Helper()
	var times []time.Duration
	for i := range b.N {
		name := "extra" + strconv.Itoa(i)
		times = append(times, d.add(b, name, publish...))
		d.remove(b, name)
	}
	return median(times) / 1e6
}
