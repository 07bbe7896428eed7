// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Errors that workloads wrap.
var (
	// ErrUnavailable is what Start returns for an arm that this machine can't
	// have (Docker isn't installed, the kernel has no nftables): the report says
	// so, and the other arms are measured. Every other error fails the run.
	ErrUnavailable = errors.New("not available here")
	// ErrWrongWay is what Slice and Prove return if packets were lost, dropped or
	// counted where the arm's name doesn't say. It fails the run.
	ErrWrongWay = errors.New("packets did not go the arm's way")
)

// Instance is one subject that is set up. The engine calls its methods one after
// the other, and those of different instances never at the same time, possibly
// from different goroutines.
type Instance interface {
	// Slice loads the subject for about d and returns what that measured. It
	// fails if packets were lost that the workload must not lose. It starts and
	// ends with nothing in flight, and with no CPU used after it returned.
	Slice(ctx context.Context, d time.Duration) (Sample, error)
	// Prove tells by counters that what all slices so far sent went the way of
	// the arm, or returns an error that wraps ErrWrongWay. The engine asks after
	// the warm-up and after the last slice.
	Prove(ctx context.Context) (Proof, error)
	// Close removes everything that Start made and joins the errors. It is called
	// once, also after errors and with what a cancelled context left.
	Close() error
}

// Proof is what counters said, for the report: "from_uplink redirected
// 1,234,567 of 1,234,567 packets; conntrack has no entry".
type Proof struct{ Text string }

// Sample is what one slice measured.
type Sample struct {
	// Values belong to the metrics of the case, in its order.
	Values []float64
	// Latency of each operation in ns, if the workload measures it. The engine
	// merges those of all slices for the percentiles of the report, and adds
	// metrics p50-ns, p90-ns, p99-ns, p99.9-ns and max-ns of each slice itself.
	// Every sample of a case has one, or none has.
	Latency *hdrhistogram.Histogram
	// Ops is how much was measured: the N of Go's benchmark format.
	Ops uint64
}

// NewHistogram returns one for latencies in ns: 1 µs to 60 s, three digits.
func NewHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1_000, 60_000_000_000, 3)
}

// Check returns an error if a sample can't be one of the case.
func (s Sample) Check(c Case) error {
	if len(s.Values) != len(c.Metrics) {
		return fmt.Errorf("%s: %d values, want %d", c.FullName(), len(s.Values), len(c.Metrics))
	}
	for i, v := range s.Values {
		if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			return fmt.Errorf("%s: %v %s", c.FullName(), v, c.Metrics[i].Unit)
		}
	}
	if s.Ops == 0 {
		return fmt.Errorf("%s: nothing was measured", c.FullName())
	}
	if s.Latency != nil && s.Latency.TotalCount() == 0 {
		return fmt.Errorf("%s: no latency was measured", c.FullName())
	}
	return nil
}
