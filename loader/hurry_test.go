// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Programs are loaded in a hurry, and nothing else of the thread's is.
func TestHurried(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	nice := func() int {
		n, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
		if err != nil {
			t.Fatal(err)
		}
		return 20 - n
	}
	before, during := nice(), 0
	if err := hurried(func() error { during = nice(); return nil }); err != nil {
		t.Fatal(err)
	}
	if during > hurriedNice || nice() != before {
		t.Errorf("nice was %d, then %d, is %d", before, during, nice())
	}
}
