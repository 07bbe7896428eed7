// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/sandbox"
)

// defaultGrace is the time between the first signal of a stop and SIGKILL.
const defaultGrace = 10 * time.Second

// processes are the main processes of sandboxes that this daemon watches, by
// sandbox; those that ended stay until their sandbox is removed.
type processes struct {
	mu  sync.Mutex
	all map[string]*process
}

func newProcesses() *processes { return &processes{all: make(map[string]*process)} }

func (p *processes) main(sandboxID string) *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all[sandboxID]
}

func (p *processes) set(sandboxID string, proc *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[sandboxID] = proc
}

func (p *processes) forget(sandboxID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, sandboxID)
}

// process is a process in a sandbox as the API sees it. For a main process
// settled is closed only after the engine has dealt with its end.
type process struct {
	*sandbox.Process
	settled chan struct{}
}

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
		return 0, fmt.Errorf("process %d: exit code is not known: the daemon was restarted while it ran", p.Process.Pid)
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

// stop asks the process to end, kills it after a while, and waits until the
// sandbox has been taken down.
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

// parseSignal reads TERM, SIGTERM or 15; empty is SIGTERM.
func parseSignal(s string) (syscall.Signal, error) {
	if s == "" {
		return unix.SIGTERM, nil
	}
	var n int
	if _, err := fmt.Sscanf(s+"\n", "%d\n", &n); err == nil && n > 0 && n <= 64 {
		return syscall.Signal(n), nil
	}
	for _, name := range []string{s, "SIG" + s} {
		if sig := unix.SignalNum(name); sig != 0 {
			return sig, nil
		}
	}
	return 0, request.Errorf(request.ErrInvalid, "signal %q: want a name like TERM or a number from 1 to 64", s)
}

// startMain starts the process of a sandbox that is being made.
func (e *Engine) startMain(d *draft, req request.Run, stdio *request.Stdio) (*process, error) {
	spec := sandbox.Spec{
		ID: d.sb.ID, Command: req.Command, Env: req.Env, Dir: req.Workdir, Stdio: streams(stdio), TTY: req.TTY,
		Netns: d.sb.Netns, Hide: e.netnsDir(), Hostname: d.sb.Hostname, Files: e.boxes.Files(d.sb.ID),
	}
	if d.shared != nil {
		// The owner's names are its guests' names too; only the log is their own.
		log := spec.Files.Log
		spec.Files = e.boxes.Files(d.shared.ID)
		spec.Files.Log = log
	}
	p, err := e.boxes.Start(spec)
	if err != nil {
		return nil, err
	}
	return &process{Process: p, settled: make(chan struct{})}, nil
}

// watch waits in the background for the end of a sandbox's process.
func (e *Engine) watch(sandboxID string, p *process) {
	e.processes.set(sandboxID, p)
	e.background.Go(func() {
		select {
		case <-p.Done():
			e.settle(sandboxID, p)
		case <-e.running.Done():
		}
	})
}

// settle draws the consequences of the end of a sandbox's process.
func (e *Engine) settle(sandboxID string, p *process) {
	defer close(p.settled)
	sb := e.state.sandbox(sandboxID)
	if sb == nil {
		return
	}
	exit := p.Exit()
	ctx := context.WithoutCancel(e.running)
	err := e.ended(ctx, sandboxID, func(s *model.State) {
		s.FinishedAt = exit.At.UTC()
		if exit.Known {
			s.ExitCode = &exit.Code
		}
	})
	if err != nil {
		e.log.Error("sandbox not taken down completely", "sandbox", sb.Name, "err", err)
	}
	e.refreshLinks(ctx, sb.Name)
	if sb.AutoRemove {
		if err := e.remove(sandboxID); err != nil {
			e.log.Error("sandbox not removed after its end", "sandbox", sb.Name, "err", err)
		}
	}
}

// Exec starts a process in a running sandbox.
func (e *Engine) Exec(_ context.Context, ref string, req request.Exec, stdio *request.Stdio) (request.Process, error) {
	if err := req.Validate(); err != nil {
		return nil, err
	}
	sb, err := e.state.findSandbox(ref)
	if err != nil {
		return nil, err
	}
	if sb.State.Status != model.StatusRunning {
		return nil, request.Errorf(request.ErrConflict, "sandbox %s is not running", sb.Name)
	}
	spec := sandbox.Spec{ID: sb.ID, Command: req.Command, Env: req.Env, Dir: req.Workdir, TTY: req.TTY}
	if p := e.processes.main(sb.ID); p != nil {
		spec.Join = p.Process
		spec.Hostname = sb.Hostname
	} else {
		spec.Netns, spec.Hide, spec.Hostname, spec.Files = sb.Netns, e.netnsDir(), sb.Hostname, e.boxes.Files(sb.ID)
	}
	files, closeFiles, err := execStreams(stdio)
	if err != nil {
		return nil, err
	}
	defer closeFiles()
	spec.Stdio = files
	p, err := e.boxes.Exec(spec)
	if errors.Is(err, sandbox.ErrFinished) {
		return nil, request.Errorf(request.ErrConflict, "sandbox %s is not running", sb.Name)
	}
	if err != nil {
		return nil, err
	}
	return &process{Process: p, settled: closedOn(p)}, nil
}

func closedOn(p *sandbox.Process) chan struct{} {
	settled := make(chan struct{})
	go func() {
		<-p.Done()
		close(settled)
	}()
	return settled
}

// Wait waits for the end of a sandbox's process.
func (e *Engine) Wait(ctx context.Context, ref string) (int, error) {
	sb, err := e.state.findSandbox(ref)
	if err != nil {
		return 0, err
	}
	if p := e.processes.main(sb.ID); p != nil {
		return p.Wait(ctx)
	}
	switch {
	case sb.State.Status == model.StatusRunning && sb.State.Pid != 0:
		return 0, unwatched(sb)
	case sb.State.Status == model.StatusRunning:
		return 0, request.Errorf(request.ErrInvalid, "sandbox %s: has no process, its namespace is another program's", sb.Name)
	case sb.State.ExitCode == nil:
		return 0, request.Errorf(request.ErrConflict, "sandbox %s: exit code is not known", sb.Name)
	}
	return *sb.State.ExitCode, nil
}

// unwatched is the error where a sandbox's process would be needed that was not found
// again after a restart, and is looked for.
func unwatched(sb *model.Sandbox) error {
	return request.Errorf(request.ErrUnavailable, "sandbox %s: its process isn't watched yet, fairway status tells why: try again", sb.Name)
}
