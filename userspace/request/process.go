// SPDX-License-Identifier: Apache-2.0

package request

import (
	"context"
	"os"
	"syscall"
)

// Process is a process that was started for a client.
type Process interface {
	// Pid in the daemon's PID namespace.
	Pid() int
	// Wait returns the exit code, 128+n after signal n. For a sandbox with
	// AutoRemove it returns after the removal. It may be called by several.
	Wait(ctx context.Context) (int, error)
	// Signal to a process that has ended is not an error.
	Signal(sig syscall.Signal) error
}

// Stdio is what a foreground process reads and writes: files of the client.
type Stdio struct {
	Stdin, Stdout, Stderr *os.File
}

// Close closes the files.
func (s *Stdio) Close() {
	for _, f := range []*os.File{s.Stdin, s.Stdout, s.Stderr} {
		f.Close()
	}
}
