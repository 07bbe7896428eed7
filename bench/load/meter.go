// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/bench/plan"
)

// meter counts what falls into a job's Duration. Times are since its start.
type meter struct {
	start      time.Time
	from, to   time.Duration
	n          uint64
	latency    *hdrhistogram.Histogram
	connect    *hdrhistogram.Histogram
	late       *hdrhistogram.Histogram
	failures   map[string]uint64
	lastInTime time.Duration
}

func newMeter(j Job) *meter {
	m := &meter{
		from: j.Warmup, to: j.Warmup + j.Duration,
		latency: plan.NewHistogram(), failures: map[string]uint64{},
	}
	if j.Kind == CRR {
		m.connect = plan.NewHistogram()
	}
	if j.Rate > 0 {
		m.late = plan.NewHistogram()
	}
	m.start = time.Now()
	return m
}

func (m *meter) now() time.Duration { return time.Since(m.start) }

// counts reports whether what happens at this time is part of the result.
func (m *meter) counts(at time.Duration) bool { return at >= m.from && at < m.to }

// done counts a transaction that was due and over at these times; at is the one of
// both that decides whether it counts.
func (m *meter) done(due, over, at time.Duration) {
	if !m.counts(at) {
		return
	}
	m.n++
	m.lastInTime = max(m.lastInTime, over)
	record(m.latency, over-due)
}

// record counts what is longer than the histogram can tell as its longest.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Nanoseconds(), 1), h.HighestTrackableValue()))
}

func (m *meter) failed(err error) { m.failures[reason(err)]++ }

func (m *meter) result() Result {
	return Result{
		Transactions: m.n, Elapsed: max(m.to, m.lastInTime) - m.from,
		Latency: m.latency, Connect: m.connect, Late: m.late, Failures: m.failures,
	}
}

// errTimeout is for transactions that took too long.
var errTimeout = errors.New("timeout")

// reason is a failure's name in Result.Failures.
func reason(err error) string {
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINPROGRESS), errors.Is(err, unix.ETIMEDOUT):
		return errTimeout.Error()
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "closed by the server"
	}
	return err.Error()
}
