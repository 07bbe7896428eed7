// SPDX-License-Identifier: Apache-2.0

package run

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/result"
)

// engine measures one group.
type engine struct {
	Options
	group  Group
	number int
	// deadline of the group; zero if there is none.
	deadline time.Time
	random   *rand.Rand
	subjects []*subject
	missing  map[int][]result.Missing
	discards map[int][]result.Discard
	metrics  map[int][]plan.Metric
}

// subject is one that is up.
type subject struct {
	plan.Subject
	// at is the number of its case in the group.
	at       int
	again    bool
	instance plan.Instance
	close    func() error
	out      result.Arm
}

func (s *subject) String() string {
	name := s.Case.FullName() + " on " + string(s.Arm)
	if s.again {
		name += " (again)"
	}
	return name
}

func (e *engine) measure(ctx context.Context) (cases []result.Case, err error) {
	e.missing, e.discards = make(map[int][]result.Missing), make(map[int][]result.Discard)
	e.metrics = make(map[int][]plan.Metric)
	defer func() { err = errors.Join(err, e.closeAll()) }()
	if err := e.startAll(ctx); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := e.warmUp(ctx); err != nil {
		return nil, err
	}
	e.afford(time.Since(began))
	for block := range e.group.Pairs {
		if err := e.block(ctx, block); err != nil {
			return nil, err
		}
	}
	if err := e.proveAll(ctx); err != nil {
		return nil, err
	}
	return e.results(), nil
}

// startAll sets up every arm of every case, and the first one once more for A/A.
func (e *engine) startAll(ctx context.Context) error {
	for i, c := range e.group.Cases {
		e.Progress.Case(c.FullName())
		for _, arm := range e.group.Arms[i] {
			err := e.start(ctx, &subject{Subject: plan.Subject{Case: c, Arm: arm}, at: i})
			if errors.Is(err, plan.ErrUnavailable) {
				e.missing[i] = append(e.missing[i], result.Missing{Arm: arm, Why: err.Error()})
				e.Progress.Note(err.Error())
				continue
			}
			if err != nil {
				return err
			}
		}
	}
	if len(e.subjects) == 0 || e.group.single() {
		return nil
	}
	first := e.subjects[0]
	return e.start(ctx, &subject{Subject: first.Subject, at: first.at, again: true})
}

func (e *engine) start(ctx context.Context, s *subject) error {
	env, remove, err := e.Place.instance()
	if err != nil {
		return err
	}
	err = guard(func() (err error) {
		s.instance, err = e.group.Workload.Start(ctx, env, s.Subject)
		return err
	})
	if err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", s, err), remove())
	}
	s.out.Arm = s.Arm
	s.close = func() error { return errors.Join(guard(s.instance.Close), remove()) }
	e.subjects = append(e.subjects, s)
	return nil
}

// closeAll ends what was started last first.
func (e *engine) closeAll() error {
	var errs []error
	for i := len(e.subjects) - 1; i >= 0; i-- {
		if err := e.subjects[i].close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", e.subjects[i], err))
		}
	}
	return errors.Join(errs...)
}

// warmUp fills caches, neighbours and pools with a slice that doesn't count. It
// takes as long as a block: the meter is read as often.
func (e *engine) warmUp(ctx context.Context) error {
	for _, s := range e.subjects {
		for range 2 {
			if _, err := e.Meter.Read(); err != nil {
				return err
			}
		}
		if _, err := e.slice(ctx, s); err != nil {
			return err
		}
	}
	return e.proveAll(ctx)
}

func (e *engine) proveAll(ctx context.Context) error {
	for _, s := range e.subjects {
		err := guard(func() error {
			proof, err := s.instance.Prove(ctx)
			s.out.Proof = proof.Text
			return err
		})
		if err != nil {
			return fmt.Errorf("proof of %s: %w", s, err)
		}
	}
	return nil
}

// block runs a slice of every subject, in random order.
func (e *engine) block(ctx context.Context, n int) error {
	for _, i := range e.random.Perm(len(e.subjects)) {
		s := e.subjects[i]
		e.Progress.Slice(s.Subject, n, e.group.Pairs)
		if err := e.counted(ctx, s); err != nil {
			return err
		}
		e.Progress.Counted()
	}
	return nil
}

func (e *engine) results() []result.Case {
	cases := make([]result.Case, len(e.group.Cases))
	for i, c := range e.group.Cases {
		cases[i] = result.Case{
			Case: c, Metrics: e.metrics[i], Missing: e.missing[i], Discarded: e.discards[i],
			Group: e.number, Slice: e.group.Slice,
		}
	}
	for _, s := range e.subjects {
		c := &cases[s.at]
		if s.again {
			c.Again = &s.out
			continue
		}
		c.Arms = append(c.Arms, s.out)
	}
	return cases
}
