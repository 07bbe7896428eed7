// SPDX-License-Identifier: Apache-2.0

package netns

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Do runs f in the namespace at path, on an operating system thread that does
// nothing else meanwhile, and returns f's error. It is for what the kernel
// resolves by the thread's namespace: sockets, /proc/sys/net, new devices.
// Goroutines that f starts are not in the namespace. The process's first thread
// never goes there: what /proc/self/ns and /proc/net show is that one's namespace.
func Do(path string, f func() error) error {
	ns, err := Open(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	return ns.Do(f)
}

// Do is the function Do for an open namespace.
func (n *NS) Do(f func() error) error {
	return onThread(func() (bool, error) {
		return n.visit(f)
	})
}

func (n *NS) visit(f func() error) (clean bool, err error) {
	return andBack(func() error {
		if err := unix.Setns(n.Fd(), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("namespace %s: enter: %w", n.path, err)
		}
		return f()
	})
}

// andBack runs f, which takes the thread to another namespace, and goes back
// where it came from. It reports whether the thread may be used again.
func andBack(f func() error) (clean bool, err error) {
	home, err := Current()
	if err != nil {
		return true, err
	}
	defer home.Close()
	defer func() { clean = unix.Setns(home.Fd(), unix.CLONE_NEWNET) == nil }()
	return false, f()
}

// onThread runs f on a locked thread other than the process's first. The thread
// ends with f unless f reports it clean.
func onThread(f func() (clean bool, err error)) error {
	done := make(chan error, 1)
	go func() {
		// A thread that is still locked when its goroutine ends, also by
		// runtime.Goexit in f, is discarded by the runtime.
		runtime.LockOSThread()
		if isFirstThread() {
			// Locked as it is, it can't be given to the next goroutine.
			defer runtime.UnlockOSThread()
			done <- onThread(f)
			return
		}
		finished := false
		defer func() {
			if !finished {
				done <- fmt.Errorf("function left its goroutine")
			}
		}()
		clean, err := f()
		finished = true
		if clean {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// isFirstThread reports whether the calling thread is the one that stands for the
// process in /proc. The runtime can't discard it either.
func isFirstThread() bool { return unix.Gettid() == unix.Getpid() }
