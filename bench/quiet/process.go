// SPDX-License-Identifier: Apache-2.0

package quiet

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// process is what counts of one.
type process struct {
	name    string
	parent  int
	started string
	kernel  bool
	// used by its threads that live, and reaped by children that it waited for.
	used, reaped time.Duration
}

// processes skips those that end meanwhile.
func (m Meter) processes() (map[int]process, error) {
	dir, err := os.Open(m.path())
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	all := make(map[int]process)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, err := m.process(name); err == nil {
			all[pid] = p
		}
	}
	return all, nil
}

func (m Meter) process(pid string) (process, error) {
	text, err := os.ReadFile(m.path(pid, "stat"))
	if err != nil {
		return process{}, err
	}
	p, err := parseStat(string(text))
	if err != nil || p.kernel {
		return p, err
	}
	if used, err := m.threads(pid); err == nil {
		p.used = used
	}
	return p, nil
}

// parseStat reads /proc/PID/stat (proc(5)). The name may have anything in it; what
// counts begins after its last parenthesis.
func parseStat(text string) (process, error) {
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return process{}, fmt.Errorf("no name in %q", text)
	}
	// From the third on: state, ppid, ...
	fields := strings.Fields(text[end+1:])
	if len(fields) < 20 {
		return process{}, fmt.Errorf("%d fields in %q", len(fields), text)
	}
	var n [5]int64
	for i, at := range []int{1, 11, 12, 13, 14} {
		var err error
		if n[i], err = strconv.ParseInt(fields[at], 10, 64); err != nil {
			return process{}, err
		}
	}
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	if err != nil {
		return process{}, err
	}
	const kernelThread = 0x00200000 // PF_KTHREAD, linux/sched.h
	return process{
		name: text[open+1 : end], parent: int(n[0]), started: fields[19], kernel: flags&kernelThread != 0,
		used: time.Duration(n[1]+n[2]) * tick, reaped: time.Duration(n[3]+n[4]) * tick,
	}, nil
}

// threads sums up /proc/PID/task/*/schedstat, which counts in ns. Kernels without
// it leave what stat says.
func (m Meter) threads(pid string) (time.Duration, error) {
	dir, err := os.Open(m.path(pid, "task"))
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, name := range names {
		text, err := os.ReadFile(m.path(pid, "task", name, "schedstat"))
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, err
		}
		total += time.Duration(ns)
	}
	return total, nil
}

// foreign leaves out the kernel's threads, own and its descendants.
func foreign(all map[int]process, own int) map[int]process {
	kept := make(map[int]process)
	for pid, p := range all {
		if !p.kernel && !descends(all, pid, own) {
			kept[pid] = p
		}
	}
	return kept
}

func descends(all map[int]process, pid, from int) bool {
	for range len(all) + 1 {
		if pid == from {
			return true
		}
		p, ok := all[pid]
		if !ok {
			return false
		}
		pid = p.parent
	}
	return false
}
