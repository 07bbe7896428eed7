// SPDX-License-Identifier: Apache-2.0

package testrun

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/netns"
)

// thread is an operating system thread in the host's namespace that runs what it
// is given, so that goroutines of any test can work there. The namespace has no
// name: it ends with the last thread and descriptor in it.
type thread struct {
	work chan func()
	done chan error
}

// newThread starts a thread in ns, or in a new namespace if ns is nil.
func newThread(ns *netns.NS) (*thread, error) {
	t := &thread{work: make(chan func()), done: make(chan error, 1)}
	started := make(chan error)
	go t.run(ns, started)
	return t, <-started
}

func (t *thread) run(ns *netns.NS, started chan<- error) {
	runtime.LockOSThread()
	home, err := netns.Current()
	if err == nil {
		err = enter(ns)
	}
	started <- err
	if err != nil {
		return
	}
	for f := range t.work {
		f()
	}
	err = errors.Join(unix.Setns(home.Fd(), unix.CLONE_NEWNET), home.Close())
	if err == nil {
		runtime.UnlockOSThread()
	}
	t.done <- err
}

func enter(ns *netns.NS) error {
	if ns != nil {
		return unix.Setns(ns.Fd(), unix.CLONE_NEWNET)
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("new network namespace: %w", err)
	}
	return nil
}

// do runs f on the thread and returns when it has.
func (t *thread) do(f func()) {
	finished := make(chan struct{})
	t.work <- func() {
		// f may end its goroutine (testing.T.FailNow) only from where it was called.
		defer close(finished)
		f()
	}
	<-finished
}

func (t *thread) close() error {
	close(t.work)
	return <-t.done
}
