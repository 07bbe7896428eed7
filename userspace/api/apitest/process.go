// SPDX-License-Identifier: Apache-2.0

package apitest

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"syscall"

	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/sandbox"
)

type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	code int
}

// start needs the lock.
func (f *Fake) start(command, env []string, dir string, tty bool, stdio *request.Stdio) (*process, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env, cmd.Dir = append(cmd.Environ(), env...), dir
	if stdio != nil {
		cmd.Stdout, cmd.Stderr = stdio.Stdout, stdio.Stderr
		if stdio.Stdin != nil {
			cmd.Stdin = stdio.Stdin
		}
	}
	// A Ctrl-C in the terminal is the client's.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: tty}
	if err := cmd.Start(); err != nil {
		code := sandbox.CodeNotExecutable
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			code = sandbox.CodeNotFound
		}
		return nil, &sandbox.StartError{Code: code, Message: err.Error()}
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	f.processes.Go(func() {
		defer close(p.done)
		_ = cmd.Wait()
		p.code = cmd.ProcessState.ExitCode()
		if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
			p.code = 128 + int(ws.Signal())
		}
	})
	return p, nil
}

func (p *process) Pid() int { return p.cmd.Process.Pid }

func (p *process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		return p.code, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Signal to a process that has ended is not an error.
func (p *process) Signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
		_ = p.cmd.Process.Signal(sig)
		return nil
	}
}

func (f *Fake) killAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.sandboxes {
		if e.proc != nil {
			_ = e.proc.Signal(syscall.SIGKILL)
		}
	}
}
