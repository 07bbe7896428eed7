// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/request"
)

// foreground starts a process that has this program's files, or a terminal between
// them and it, passes on the signals that this program gets and ends with the
// process's exit code.
func (a *app) foreground(ctx context.Context, p processFlags, start func(context.Context, *request.Stdio) (*api.Attached, error)) error {
	// Caught before the start: a signal that comes while the process is being
	// started is the process's. SIGQUIT is left to end this program for certain.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP,
		syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	files := a.env.Files
	var t *terminal
	if p.tty {
		var err error
		if t, err = openTerminal(files, p.interactive); err != nil {
			return err
		}
		defer t.close()
		files = t.streams()
	}
	process, err := start(context.WithoutCancel(ctx), files)
	if err != nil {
		return processError(err)
	}
	defer process.Close()
	if t != nil {
		if err := t.connect(); err != nil {
			return err
		}
	}
	done := make(chan struct{})
	defer close(done)
	go forward(signals, process, done)
	code, err := process.Wait()
	if err != nil {
		return processError(err)
	}
	if t != nil {
		t.drain()
	}
	if code != 0 {
		return &exitCode{code: code}
	}
	return nil
}

func forward(signals <-chan os.Signal, process *api.Attached, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case s := <-signals:
			if sig, ok := s.(syscall.Signal); ok {
				_ = process.Signal(sig) // Wait tells of a connection that is gone
			}
		}
	}
}
