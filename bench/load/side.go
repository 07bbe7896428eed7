// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/bench/child"
)

// Place is where a side runs.
type Place = child.Place

// AnyCPU leaves the choice to the scheduler.
const AnyCPU = child.AnyCPU

// Side is a process that serves, or that runs jobs, in its place. It takes no CPU
// when it does neither. Its methods are for one goroutine at a time.
type Side struct{ process *child.Process }

// Start starts a side. The caller closes it; it ends with the caller, too.
func Start(p Place) (*Side, error) {
	// The collector would stop the threads that measure; a job cleans up after
	// itself. Signals that make goroutines take turns would interrupt them.
	c, err := child.Start(p, Role.Name, "GOGC=off", "GOMEMLIMIT=1GiB", "GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=4")
	if err != nil {
		return nil, err
	}
	return &Side{process: c}, nil
}

// PID of the process.
func (s *Side) PID() int { return s.process.PID() }

// Serve begins a service, which runs until Close, and returns what it listens on.
func (s *Side) Serve(ctx context.Context, service Service) (netip.AddrPort, error) {
	a, err := s.ask(ctx, request{Serve: &service})
	return a.Addr, err
}

// Run runs a job and returns what it measured. An error means that there is no
// result; transactions that failed are in it.
func (s *Side) Run(ctx context.Context, job Job) (Result, error) {
	a, err := s.ask(ctx, request{Run: &job})
	if err != nil {
		return Result{}, err
	}
	return a.Result.unpack()
}

// Counts returns what all services of the side have done so far.
func (s *Side) Counts(ctx context.Context) (Counts, error) {
	a, err := s.ask(ctx, request{Counts: true})
	if err != nil {
		return Counts{}, err
	}
	return *a.Counts, nil
}

// Probe starts to try a target that must not answer yet, and returns when the
// first attempt is out. The caller waits for the answer with Await, next.
func (s *Side) Probe(ctx context.Context, probe Probe) error {
	_, err := s.ask(ctx, request{Probe: &probe})
	return err
}

// Await returns when the target of Probe answered.
func (s *Side) Await(ctx context.Context) (Answer, error) {
	a, err := s.receive(ctx)
	if err != nil {
		return Answer{}, err
	}
	return *a.Answer, nil
}

// Close ends the process. Closing twice is no error.
func (s *Side) Close() error { return s.process.Close() }

func (s *Side) ask(ctx context.Context, r request) (response, error) {
	if err := s.process.Send(r); err != nil {
		return response{}, err
	}
	return s.receive(ctx)
}

func (s *Side) receive(ctx context.Context) (a response, err error) {
	if err := s.process.Receive(ctx, &a); err != nil {
		return response{}, err
	}
	if a.Error != "" {
		return response{}, fmt.Errorf("%s: %s", s.process, a.Error)
	}
	return a, nil
}
