// SPDX-License-Identifier: Apache-2.0

package cell

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Prefix begins the names that harness and cells give what belongs to a run. The process
// ID of the run follows it.
const Prefix = "fwt"

// Owner returns the process that a name of a run's belongs to, and whether the name is
// one and the process lives.
func Owner(name string) (pid int, ok, lives bool) {
	digits, _, found := strings.Cut(strings.TrimPrefix(name, Prefix), "-")
	pid, err := strconv.Atoi(digits)
	if !strings.HasPrefix(name, Prefix) || !found || err != nil || pid <= 0 {
		return 0, false, false
	}
	return pid, true, syscall.Kill(pid, 0) == nil
}

// Clean removes the control groups of runs that were killed, and those of daemons in
// which no process is. It is called outside of cells, while no test runs.
func Clean() error {
	errs := []error{removeDead(cgroups(Prefix + "*-*"))}
	for _, dir := range cgroups("fairway") {
		if !used(dir) {
			errs = append(errs, removeTree(dir))
		}
	}
	return errors.Join(errs...)
}

// CleanRun removes the control groups of one run that was killed, whatever else runs.
func CleanRun(pid int) error { return removeDead(cgroups(fmt.Sprintf("%s%d-*", Prefix, pid))) }

// removeDead removes those that are named after a run that has ended. One with processes is
// of a run in another process namespace, whose name can't be seen here.
func removeDead(dirs []string) error {
	var errs []error
	for _, dir := range dirs {
		if _, ok, lives := Owner(filepath.Base(dir)); ok && !lives && !used(dir) {
			errs = append(errs, removeTree(dir))
		}
	}
	return errors.Join(errs...)
}

// cgroups finds control groups below the roots of both versions' hierarchies.
func cgroups(name string) []string {
	v2, _ := filepath.Glob("/sys/fs/cgroup/" + name)
	v1, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
	return append(v2, v1...)
}

// Named is a name that nothing else has, and by which what has it is the process's cell's:
// the name of a control group, or a part of it in front of others. Outside of cells it is
// the process's own.
func Named(name string) string {
	id, inside := Inside()
	if !inside {
		id = os.Getpid()
	}
	return fmt.Sprintf("%s%d-%s", Prefix, id, name)
}

// removeCgroups removes what is named after the cell. Its processes have been killed, which
// takes a moment.
func removeCgroups(id int) {
	const moment = 5 * time.Second
	for _, dir := range cgroups(fmt.Sprintf("%s%d-*", Prefix, id)) {
		err := removeTree(dir)
		for deadline := time.Now().Add(moment); errors.Is(err, syscall.EBUSY) && time.Now().Before(deadline); err = removeTree(dir) {
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "cell: %v\n", err)
		}
	}
}

// used reports whether a process is in a control group or below.
func used(dir string) (found bool) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return nil
		}
		if raw, err := os.ReadFile(path); err == nil && len(raw) > 0 {
			found = true
			return fs.SkipAll
		}
		return nil
	})
	return found
}

// removeTree removes a control group and those below it. Their files can't be removed.
func removeTree(dir string) error {
	var dirs []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append([]string{path}, dirs...)
		}
		return nil
	})
	var errs []error
	for _, d := range dirs {
		if err := os.Remove(d); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
