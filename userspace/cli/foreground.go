// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/fairway-project/fairway/userspace/api"
)

// foreground starts a process that has this program's files, passes on the
// signals that this program gets and ends with the process's exit code.
func (a *app) foreground(ctx context.Context, start func(context.Context, *api.Stdio) (*api.Attached, error)) error {
	// Caught before the start: a signal that comes while the process is being
	// started is the process's. SIGQUIT is left to end this program for certain.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP,
		syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	process, err := start(context.WithoutCancel(ctx), a.env.Files)
	if err != nil {
		return processError(err)
	}
	defer process.Close()
	done := make(chan struct{})
	defer close(done)
	go forward(signals, process, done)
	code, err := process.Wait()
	if err != nil {
		return processError(err)
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
