// SPDX-License-Identifier: Apache-2.0

package packets

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// softirqd is a CPU's ksoftirqd, to which the kernel leaves softirqs that take too
// long: a part of what packets take, and not on the time of who makes them.
type softirqd struct{ path string }

// findSoftirqd looks for it in the machine's procfs.
func findSoftirqd(proc string, cpu int) (softirqd, error) {
	if proc == "" {
		proc = "/proc"
	}
	want := fmt.Sprintf("ksoftirqd/%d", cpu)
	all, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "comm"))
	if err != nil {
		return softirqd{}, err
	}
	for _, path := range all {
		if raw, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(raw)) == want {
			return softirqd{filepath.Join(filepath.Dir(path), "schedstat")}, nil
		}
	}
	return softirqd{}, fmt.Errorf("%s: isn't in %s", want, proc)
}

// time is how long it has run (Documentation/scheduler/sched-stats.rst).
func (s softirqd) time() (time.Duration, error) {
	raw, err := os.ReadFile(s.path)
	if err != nil {
		return 0, err
	}
	var ns int64
	if _, err := fmt.Sscan(string(raw), &ns); err != nil {
		return 0, fmt.Errorf("%s: %w", s.path, err)
	}
	return time.Duration(ns), nil
}
