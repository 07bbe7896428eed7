// SPDX-License-Identifier: Apache-2.0

package run

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/quiet"
	"github.com/fairway-project/fairway/bench/result"
)

// ErrBusy is the end of a run in which others used the machine all the time.
var ErrBusy = errors.New("the machine is busy")

// counted runs slices of a subject until one counts. There may be as many that
// don't as there are slices in the case, and at least a few.
func (e *engine) counted(ctx context.Context, s *subject) error {
	pause := e.Pause / 40
	for {
		before, err := e.Meter.Read()
		if err != nil {
			return err
		}
		start := time.Now()
		sample, err := e.slice(ctx, s)
		took := time.Since(start)
		if err != nil {
			return err
		}
		after, err := e.Meter.Read()
		if err != nil {
			return err
		}
		why := after.Since(before).Busy()
		if why != "" {
			e.discards[s.at] = append(e.discards[s.at], result.Discard{Arm: s.Arm, Why: why})
		}
		if why == "" || e.AllowBusy {
			return e.keep(s, sample, took)
		}
		e.Progress.Note(fmt.Sprintf("%s: slice discarded: %s", s, why))
		if n := len(e.discards[s.at]); n > e.limit() {
			return fmt.Errorf("%s: %w: %d slices discarded, the last one for %s", s, ErrBusy, n, why)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, e.Pause)
	}
}

func (e *engine) limit() int { return max(10, len(e.subjects)*e.group.Pairs) }

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// slice runs one, and nothing else in this process meanwhile: what the last one
// left to the garbage collector is gone before.
func (e *engine) slice(ctx context.Context, s *subject) (sample plan.Sample, err error) {
	if err := ctx.Err(); err != nil {
		return sample, context.Cause(ctx)
	}
	runtime.GC()
	err = guard(func() (err error) {
		sample, err = s.instance.Slice(ctx, e.group.Slice)
		return err
	})
	if err == nil {
		err = sample.Check(s.Case)
	}
	if err != nil {
		return sample, fmt.Errorf("slice of %s: %w", s, err)
	}
	return sample, nil
}

// guard makes an error of a panic, so that everything else is still closed.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return f()
}

// keep adds a sample to the subject's, with percentiles if it has latencies.
func (e *engine) keep(s *subject, sample plan.Sample, took time.Duration) error {
	metrics := s.Case.Metrics
	if sample.Latency != nil {
		metrics = append(metrics[:len(metrics):len(metrics)], percentiles()...)
		sample.Values = append(sample.Values[:len(sample.Values):len(sample.Values)], percentileValues(sample.Latency)...)
		if s.out.Latency == nil {
			s.out.Latency = plan.NewHistogram()
		}
		if lost := s.out.Latency.Merge(sample.Latency); lost > 0 {
			return fmt.Errorf("%s: %d latencies are out of range", s, lost)
		}
	}
	if known, ok := e.metrics[s.at]; ok && len(known) != len(metrics) {
		return fmt.Errorf("%s: a sample with %d metrics after one with %d", s, len(metrics), len(known))
	}
	e.metrics[s.at] = metrics
	s.out.Samples = append(s.out.Samples, result.Sample{Values: sample.Values, Ops: sample.Ops, Took: took})
	return nil
}

var _ Meter = quiet.Meter{}
