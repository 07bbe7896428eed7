// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/loader/cgroupfs"
)

// ErrNoCgroup2 is returned where no cgroup v2 hierarchy can be had.
var ErrNoCgroup2 = cgroupfs.ErrNone

// cgroupRoot returns the root of the cgroup v2 hierarchy: path if it is given,
// else where it is mounted, else a mount of its own at private.
func cgroupRoot(path, private string) (string, error) {
	if path != "" {
		return path, cgroupfs.Check(path)
	}
	at, err := cgroupfs.Find()
	if err == nil || !errors.Is(err, ErrNoCgroup2) {
		return at, err
	}
	if err := os.MkdirAll(private, 0o700); err != nil {
		return "", fmt.Errorf("cgroup v2: %w", err)
	}
	if err := unix.Mount("cgroup2", private, "cgroup2", 0, ""); err != nil {
		return "", explain(fmt.Errorf("%w: mount at %s: %w", ErrNoCgroup2, private, err))
	}
	return private, nil
}

// removePrivateCgroup undoes what cgroupRoot did at private.
func removePrivateCgroup(private string) error {
	if _, err := os.Lstat(private); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if cgroupfs.Check(private) == nil {
		if err := unix.Unmount(private, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("cgroup v2: unmount %s: %w", private, err)
		}
	}
	if err := os.Remove(private); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cgroup v2 %s: %w", filepath.Base(private), err)
	}
	return nil
}
