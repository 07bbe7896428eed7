// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// request is one line from the parent to a side: one of its fields is set.
type request struct {
	Serve *Service `json:",omitempty"`
	Run   *Job     `json:",omitempty"`
	Probe *Probe   `json:",omitempty"`
	// Counts asks for what the services did.
	Counts bool `json:",omitempty"`
}

// response is the answer. A probe gets two: when its first attempt is out, and
// when one was answered.
type response struct {
	Error  string
	Addr   netip.AddrPort
	Result *wireResult `json:",omitempty"`
	Counts *Counts     `json:",omitempty"`
	Answer *Answer     `json:",omitempty"`
}

// wireResult is a Result whose histograms are packed.
type wireResult struct {
	Transactions, Bytes, Retransmits uint64
	Elapsed                          time.Duration
	Failures                         map[string]uint64
	Latency, Connect, Late           []byte
}

func (r Result) pack() (*wireResult, error) {
	w := &wireResult{
		Transactions: r.Transactions, Bytes: r.Bytes, Retransmits: r.Retransmits,
		Elapsed: r.Elapsed, Failures: r.Failures,
	}
	for _, h := range []struct {
		from *hdrhistogram.Histogram
		to   *[]byte
	}{{r.Latency, &w.Latency}, {r.Connect, &w.Connect}, {r.Late, &w.Late}} {
		if h.from == nil {
			continue
		}
		var err error
		if *h.to, err = h.from.Encode(hdrhistogram.V2CompressedEncodingCookieBase); err != nil {
			return nil, fmt.Errorf("pack histogram: %w", err)
		}
	}
	return w, nil
}

func (w *wireResult) unpack() (Result, error) {
	r := Result{
		Transactions: w.Transactions, Bytes: w.Bytes, Retransmits: w.Retransmits,
		Elapsed: w.Elapsed, Failures: w.Failures,
	}
	for _, h := range []struct {
		from []byte
		to   **hdrhistogram.Histogram
	}{{w.Latency, &r.Latency}, {w.Connect, &r.Connect}, {w.Late, &r.Late}} {
		if h.from == nil {
			continue
		}
		var err error
		if *h.to, err = hdrhistogram.Decode(h.from); err != nil {
			return Result{}, fmt.Errorf("unpack histogram: %w", err)
		}
	}
	return r, nil
}
