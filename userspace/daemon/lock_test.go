// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A start that is refused removes its locks' files and directories while another one waits
// for them: that one has what a third one finds.
func TestLockOutlastsRefusedStart(t *testing.T) {
	dirs, pins := testConfig(t), bpffsConfig(t)
	dirs.RunDir = dirs.Root
	file := filepath.Join(dirs.Root, lockName)
	lockBoth := func() (io.Closer, error) {
		l, err := lockDirs(dirs)
		return closer(l.release), err
	}
	for name, c := range map[string]struct {
		path    string
		lock    func() (io.Closer, error)
		discard func() error
	}{
		"root":  {file, lockBoth, func() error { return os.RemoveAll(dirs.Root) }},
		"file":  {file, lockBoth, func() error { return os.Remove(file) }},
		"bpffs": {pins.BPFFS, func() (io.Closer, error) { return lockBPFFS(pins) }, func() error { return os.Remove(pins.BPFFS) }},
	} {
		t.Run(name, func(t *testing.T) {
			second := overtaken(t, c.path, c.lock, c.discard)
			defer second.Close()
			if third, err := c.lock(); !errors.Is(err, ErrRunning) {
				t.Errorf("a third one: got %v", err)
				third.Close()
			}
		})
	}
}

type closer func() error

func (c closer) Close() error { return c() }

// overtaken returns the lock of one who waited for it when it was discarded. Where a slow
// machine lets the waiting end before, it is tried again.
func overtaken(t *testing.T, path string, lock func() (io.Closer, error), discard func() error) io.Closer {
	t.Helper()
	type result struct {
		io.Closer
		err error
	}
	for {
		first, err := lock()
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan result, 1)
		go func() { l, err := lock(); got <- result{l, err} }()
		for opened(t, path) < 2 && len(got) == 0 {
			time.Sleep(time.Millisecond)
		}
		if err := errors.Join(discard(), first.Close()); err != nil {
			t.Fatal(err)
		}
		second := <-got
		if second.err == nil {
			return second
		}
		if !errors.Is(second.err, ErrRunning) {
			t.Fatal(second.err)
		}
	}
}

// opened counts this process's open files of a path.
func opened(t *testing.T, path string) (n int) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if at, err := os.Readlink(fd); err == nil && at == path {
			n++
		}
	}
	return n
}
