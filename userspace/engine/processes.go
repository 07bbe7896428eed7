// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/sandbox"
)

// Processes runs what is in sandboxes; process.Runner is the real one. A main process is
// the one whose end is the sandbox's.
type Processes interface {
	// Start starts the main process of a sandbox, with the files of owner where that
	// isn't nil, and returns the state of a sandbox that runs. Watch or Abandon follow.
	Start(sb, owner *model.Sandbox, req request.Run, stdio *request.Stdio) (request.Process, model.State, error)
	// Abandon kills and forgets what was started.
	Abandon(sandboxID string) error
	// Find finds the main process that an earlier daemon started. The error wraps
	// sandbox.ErrFinished if it has ended. Watch follows.
	Find(sb *model.Sandbox) error
	// Watch calls ended once the main process has ended, unless Close comes first. The
	// end is known to others when it returned. Calling it again does nothing.
	Watch(sandboxID string, ended func(sandbox.Exit))
	// Has reports whether the main process was started or found.
	Has(sandboxID string) bool
	Forget(sandboxID string)
	// Exec starts a further process. The error wraps sandbox.ErrFinished if the sandbox
	// has ended.
	Exec(sb *model.Sandbox, req request.Exec, stdio *request.Stdio) (request.Process, error)
	// Wait returns the exit code of the main process, once its end is known to others;
	// known is false where there is none.
	Wait(ctx context.Context, sandboxID string) (code int, known bool, err error)
	Stop(ctx context.Context, sandboxID string, req request.Stop) error
	Kill(ctx context.Context, sandboxID string) error
	// KillMain and KillAll end the main process, and all, of others.
	KillMain(sb *model.Sandbox) error
	KillAll(sb *model.Sandbox) error
	// Close ends the watching; processes go on.
	Close()
}

// watch waits in the background for the end of a sandbox's process.
func (e *Engine) watch(sandboxID string) {
	e.processes.Watch(sandboxID, func(exit sandbox.Exit) { e.settle(sandboxID, exit) })
}

// settle draws the consequences of the end of a sandbox's process.
func (e *Engine) settle(sandboxID string, exit sandbox.Exit) {
	sb := e.state.sandbox(sandboxID)
	if sb == nil {
		return
	}
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
	p, err := e.processes.Exec(sb, req, stdio)
	if errors.Is(err, sandbox.ErrFinished) {
		return nil, request.Errorf(request.ErrConflict, "sandbox %s is not running", sb.Name)
	}
	return p, err
}

// Wait waits for the end of a sandbox's process.
func (e *Engine) Wait(ctx context.Context, ref string) (int, error) {
	sb, err := e.state.findSandbox(ref)
	if err != nil {
		return 0, err
	}
	if code, known, err := e.processes.Wait(ctx, sb.ID); known {
		return code, err
	}
	// It may have ended, or gone, since it was found.
	if sb, err = e.state.findSandbox(sb.ID); err != nil {
		return 0, err
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
