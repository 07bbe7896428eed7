// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"time"
)

// Side is a process that serves, or that runs jobs, in its place. It takes no CPU
// when it does neither. Its methods are for one goroutine at a time.
type Side struct {
	place   Place
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	answers *json.Decoder
	stderr  bytes.Buffer
	exited  sync.Once
	status  error
}

// Start starts a side. The caller closes it; it ends with the caller, too.
func Start(p Place) (*Side, error) {
	s := &Side{place: p}
	s.cmd = exec.Command("/proc/self/exe", initArg)
	// The collector would stop the threads that measure; a job cleans up after
	// itself. Signals that make goroutines take turns would interrupt them.
	s.cmd.Env = append(os.Environ(), "GOGC=off", "GOMEMLIMIT=1GiB", "GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=4")
	s.cmd.Stderr = &s.stderr
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, stdin.Close())
	}
	s.stdin, s.answers = stdin, json.NewDecoder(stdout)
	if err := StartCommand(p, s.cmd); err != nil {
		return nil, fmt.Errorf("load in %s: %w", p, errors.Join(err, stdin.Close(), stdout.Close()))
	}
	return s, nil
}

// String names the place in errors.
func (p Place) String() string {
	if p.CPU == AnyCPU {
		return p.Netns
	}
	return fmt.Sprintf("%s on CPU %d", p.Netns, p.CPU)
}

// PID of the process.
func (s *Side) PID() int { return s.cmd.Process.Pid }

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
func (s *Side) Close() error {
	err := s.stdin.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	timer := time.AfterFunc(5*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	if status := s.wait(); status != nil {
		return errors.Join(err, fmt.Errorf("load in %s: %w\n%s", s.place, status, s.stderr.String()))
	}
	return err
}

func (s *Side) wait() error {
	s.exited.Do(func() { s.status = s.cmd.Wait() })
	return s.status
}

func (s *Side) ask(ctx context.Context, r request) (response, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return response{}, err
	}
	if _, err := s.stdin.Write(append(line, '\n')); err != nil {
		return response{}, fmt.Errorf("load in %s: %w", s.place, errors.Join(err, s.Close()))
	}
	return s.receive(ctx)
}

// receive waits for one answer. A side that doesn't answer in time is killed.
func (s *Side) receive(ctx context.Context) (response, error) {
	stop := context.AfterFunc(ctx, func() { _ = s.cmd.Process.Kill() })
	defer stop()
	var a response
	if err := s.answers.Decode(&a); err != nil {
		return response{}, fmt.Errorf("load in %s: %w", s.place, errors.Join(ctx.Err(), err, s.Close()))
	}
	if a.Error != "" {
		return response{}, fmt.Errorf("load in %s: %s", s.place, a.Error)
	}
	return a, nil
}
