// SPDX-License-Identifier: Apache-2.0

package isolate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupRoot has every hierarchy below it on all systems.
const cgroupRoot = "/sys/fs/cgroup"

// cgroups returns those that benchmarks made: others of Fairway may be a daemon's.
func cgroups() (map[string]bool, error) {
	found := make(map[string]bool)
	err := filepath.WalkDir(cgroupRoot, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.IsDir() && ours(path) {
			found[path] = true
		}
		return err
	})
	return found, err
}

func ours(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(name string) bool { return strings.HasPrefix(name, "fairway-bench") })
}

// removeNew removes the ones that were not there before, the deepest first. Their
// processes have been killed, which takes a moment.
func removeNew(before map[string]bool) error {
	deadline := time.Now().Add(5 * time.Second)
	for {
		err := removeOnce(before)
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func removeOnce(before map[string]bool) error {
	after, err := cgroups()
	if err != nil {
		return err
	}
	var fresh []string
	for path := range after {
		if !before[path] {
			fresh = append(fresh, path)
		}
	}
	slices.SortFunc(fresh, func(a, b string) int { return len(b) - len(a) })
	var errs []error
	for _, path := range fresh {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("cgroup: %w", err))
		}
	}
	return errors.Join(errs...)
}
