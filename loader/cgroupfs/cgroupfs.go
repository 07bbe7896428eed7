// SPDX-License-Identifier: Apache-2.0

// Package cgroupfs finds the cgroup v2 hierarchy.
package cgroupfs

import (
	"errors"
	"fmt"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// ErrNone is returned where no cgroup v2 hierarchy can be had.
var ErrNone = errors.New("no cgroup v2 hierarchy")

// Find returns where the root of the hierarchy is mounted, of several places the first. A
// mount that another one covers counts for nothing.
func Find() (string, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup2"))
	if err != nil {
		return "", fmt.Errorf("cgroup v2: %w", err)
	}
	return first(mounts, Check)
}

func first(mounts []*mountinfo.Info, check func(path string) error) (string, error) {
	errs := []error{ErrNone}
	for _, m := range mounts {
		if m.Root != "/" {
			continue
		}
		err := check(m.Mountpoint)
		if err == nil {
			return m.Mountpoint, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// Check says whether path is in a cgroup v2 hierarchy (ErrNone).
func Check(path string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNone, path, err)
	}
	if st.Type != unix.CGROUP2_SUPER_MAGIC {
		return fmt.Errorf("%w: %s isn't one", ErrNone, path)
	}
	return nil
}
