// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/fairway-project/fairway/userspace/request"
)

// terminal is the pseudo terminal of a process in the foreground, whose other end is
// this program's own terminal.
type terminal struct {
	// local are this program's streams.
	local       *request.Stdio
	interactive bool
	// master is this end, slave the process's.
	master, slave *os.File
	// before is how the local terminal was set.
	before  *term.State
	resized chan os.Signal
	printed sync.WaitGroup
}

// openTerminal makes a terminal as large as the local one. Interactive passes on what
// is typed, for which standard input has to be a terminal, as Docker demands.
func openTerminal(local *request.Stdio, interactive bool) (*terminal, error) {
	if interactive && !term.IsTerminal(int(local.Stdin.Fd())) {
		return nil, errors.New("-t: the input device is not a TTY; -i alone reads from it")
	}
	master, slave, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("-t: open a pseudo terminal: %w", err)
	}
	t := &terminal{local: local, interactive: interactive, master: master, slave: slave, resized: make(chan os.Signal, 1)}
	signal.Notify(t.resized, unix.SIGWINCH)
	t.resize()
	return t, nil
}

// streams are the process's.
func (t *terminal) streams() *request.Stdio {
	return &request.Stdio{Stdin: t.slave, Stdout: t.slave, Stderr: t.slave}
}

// resize gives the terminal the local one's size, if there is one.
func (t *terminal) resize() {
	for _, f := range []*os.File{t.local.Stdin, t.local.Stdout} {
		if term.IsTerminal(int(f.Fd())) {
			// One that has just been closed needs no size.
			_ = pty.InheritSize(f, t.master)
			return
		}
	}
}

// connect joins the two terminals once the process has its end. It may be called
// before close only.
func (t *terminal) connect() error {
	// Only without this descriptor does the end of the process show at the other.
	if err := t.slave.Close(); err != nil {
		return err
	}
	t.printed.Go(func() {
		// EIO is how a terminal ends, and there is nobody else to tell.
		_, _ = io.Copy(t.local.Stdout, t.master)
	})
	go func() {
		for range t.resized {
			t.resize()
		}
	}()
	if !t.interactive {
		return nil
	}
	before, err := term.MakeRaw(int(t.local.Stdin.Fd()))
	if err != nil {
		return fmt.Errorf("-t: set the terminal: %w", err)
	}
	t.before = before
	// Reads from a terminal can't be broken off: this one ends with the program.
	go func() { _, _ = io.Copy(t.master, t.local.Stdin) }()
	return nil
}

// drain waits until all is printed. The kernel hangs the terminal up when the process,
// which leads its session, has ended.
func (t *terminal) drain() { t.printed.Wait() }

// close sets the local terminal as it was.
func (t *terminal) close() {
	signal.Stop(t.resized)
	close(t.resized)
	if t.before != nil {
		_ = term.Restore(int(t.local.Stdin.Fd()), t.before)
	}
	_ = t.slave.Close()
	_ = t.master.Close()
}
