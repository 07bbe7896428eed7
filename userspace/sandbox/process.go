// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a process in a sandbox. Its methods may be called from several
// goroutines.
type Process struct {
	// Pid is in the daemon's PID namespace.
	Pid int
	// StartTime in clock ticks since boot tells it from a later process with
	// the same Pid (proc_pid_stat(5) field 22).
	StartTime uint64

	pidfd *pidfd
	// killGroup ends everything that the process started, as far as its cgroup
	// or process group tells.
	killGroup func() error
	// main processes take everything in the sandbox with them.
	main bool

	done chan struct{}
	exit Exit
}

// Exit is how a process ended.
type Exit struct {
	// Code is the exit status, 128 and the signal's number for a process that a
	// signal ended.
	Code int
	// Known is false for a process that was no child of this daemon: there is
	// no way to learn its code.
	Known bool
	// At is when the end was seen.
	At time.Time
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit returns how the process ended; meaningful once Done is closed.
func (p *Process) Exit() Exit {
	<-p.done
	return p.exit
}

// Wait returns how the process ended, or ctx's error if that comes first.
func (p *Process) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-p.done:
		return p.exit, nil
	case <-ctx.Done():
		return Exit{}, ctx.Err()
	}
}

// ended reports whether the process has ended, noticed or not.
func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
	}
	return p.pidfd.ended()
}

// Signal sends sig to the process alone. ErrFinished says that it is gone.
func (p *Process) Signal(sig unix.Signal) error {
	select {
	case <-p.done:
		return ErrFinished
	default:
	}
	return p.pidfd.signal(p.Pid, sig)
}

// Stop asks the process to end with SIGTERM and kills it, with everything that
// it started, when grace is over or ctx ends. It returns when the process has
// ended. One that has already is not an error.
func (p *Process) Stop(ctx context.Context, grace time.Duration) error {
	if err := p.Signal(unix.SIGTERM); err != nil && !errors.Is(err, ErrFinished) {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	return p.Kill()
}

// Kill ends the process and everything that it started, and waits for it.
func (p *Process) Kill() error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := p.killGroup(); err != nil {
		return err
	}
	// The process may have left its group.
	if err := p.Signal(unix.SIGKILL); err != nil && !errors.Is(err, ErrFinished) {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(killTimeout):
		return fmt.Errorf("process %d: still there %s after it was killed", p.Pid, killTimeout)
	}
}

// watch waits for the end of the process and calls reap, which says how it ended.
func (p *Process) watch(log *slog.Logger, reap func() Exit) {
	err := p.pidfd.waitEnd()
	if p.main {
		// Before the process is reaped, so that its number can't have been given
		// to another process group.
		err = errors.Join(err, p.killGroup())
	}
	if err != nil {
		log.Error("watching a process", "pid", p.Pid, "err", err)
	}
	p.exit = reap()
	p.exit.At = time.Now()
	if err := p.pidfd.close(); err != nil {
		log.Error("watching a process", "pid", p.Pid, "err", err)
	}
	close(p.done)
}
