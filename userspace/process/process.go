// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/sandbox"
)

// defaultGrace is the time between the first signal of a stop and SIGKILL.
const defaultGrace = 10 * time.Second

// process is a process in a sandbox as the API sees it. For a main process
// settled is closed only after its end has been dealt with.
type process struct {
	*sandbox.Process
	settled chan struct{}
	settle  func()
	// watched is guarded by the Runner's lock.
	watched bool
}

func newProcess(p *sandbox.Process) *process {
	settled := make(chan struct{})
	return &process{Process: p, settled: settled, settle: sync.OnceFunc(func() { close(settled) })}
}

var _ request.Process = (*process)(nil)

func (p *process) Pid() int { return p.Process.Pid }

// Wait returns the exit code once all consequences of the end are drawn.
func (p *process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.settled:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	exit := p.Exit()
	if !exit.Known {
		return 0, request.Errorf(request.ErrConflict, "process %d: exit code is not known: the daemon was restarted while it ran", p.Process.Pid)
	}
	return exit.Code, nil
}

// Signal sends sig; one that has ended is no error.
func (p *process) Signal(sig syscall.Signal) error {
	err := p.Process.Signal(sig)
	if errors.Is(err, sandbox.ErrFinished) {
		return nil
	}
	return err
}

// stop asks the process to end, kills it after a while, and waits until its end has been
// dealt with.
func (p *process) stop(ctx context.Context, req request.Stop) error {
	sig, err := parseSignal(req.Signal)
	if err != nil {
		return err
	}
	if err := p.Signal(sig); err != nil {
		return err
	}
	grace := defaultGrace
	if req.Timeout != nil {
		grace = time.Duration(*req.Timeout) * time.Second
	}
	var timeout <-chan time.Time
	if grace >= 0 {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-p.settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout:
	}
	return p.killAndWait(ctx)
}

func (p *process) killAndWait(ctx context.Context) error {
	if err := p.Kill(); err != nil {
		return err
	}
	select {
	case <-p.settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
