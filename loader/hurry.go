// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// hurriedNice is the nice value of a thread that loads programs.
const hurriedNice = -10

// hurried runs f on a thread that goes before most others. The verifier takes nine tenths of
// what a start costs, half a second of one processor, and on a host where dozens of threads
// are busy an equal share of it takes as long as ten seconds, in which nothing can be changed.
// Where that isn't allowed f runs as it is. Only this thread is meant: sandboxes inherit nothing.
func hurried(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const niceBase = 20 // getpriority(2): the system call returns 20 - nice
	before, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil || niceBase-before <= hurriedNice {
		return f()
	}
	if unix.Setpriority(unix.PRIO_PROCESS, 0, hurriedNice) != nil {
		return f()
	}
	// To be less in a hurry is always allowed.
	defer func() { _ = unix.Setpriority(unix.PRIO_PROCESS, 0, niceBase-before) }()
	return f()
}
