// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what a Job measured in its Duration.
type Result struct {
	// Transactions that ended with the whole response; of Stream, blocks that
	// were written.
	Transactions uint64
	// Bytes that the server of a Stream has taken, as it says.
	Bytes uint64
	// Elapsed is how long it took, about Duration.
	Elapsed time.Duration
	// Latency of every transaction in ns; nil for Stream.
	Latency *hdrhistogram.Histogram
	// Connect is the time from connect to the answer to the SYN, of crr.
	Connect *hdrhistogram.Histogram
	// Late is by how much the client was behind the schedule of an open loop when
	// it began a transaction, in ns: part of Latency that the path is not to
	// blame for as long as there were free flows.
	Late *hdrhistogram.Histogram
	// Failures by what happened, in the warm-up too.
	Failures map[string]uint64
	// Retransmits is by how much RetransSegs of the client's namespace grew.
	Retransmits uint64
}

// Failed is how many transactions failed.
func (r Result) Failed() (n uint64) {
	for _, of := range r.Failures {
		n += of
	}
	return n
}

// Clean returns an error if anything failed, or if nothing went right.
func (r Result) Clean() error {
	if n := r.Failed(); n > 0 {
		return fmt.Errorf("%d of %d transactions failed: %s", n, n+r.Transactions, r.failures())
	}
	if r.Transactions == 0 {
		return fmt.Errorf("not one transaction in %v", r.Elapsed)
	}
	return nil
}

func (r Result) failures() string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(r.Failures)) {
		parts = append(parts, fmt.Sprintf("%d %s", r.Failures[what], what))
	}
	return strings.Join(parts, ", ")
}

// Rate is transactions per second.
func (r Result) Rate() float64 { return float64(r.Transactions) / r.Elapsed.Seconds() }

// Throughput is bytes per second.
func (r Result) Throughput() float64 { return float64(r.Bytes) / r.Elapsed.Seconds() }
